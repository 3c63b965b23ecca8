"""Calls side by side: their order, and that threads do not make threads."""

import os
import threading

import pytest

from linconn_jax import threads


def test_results_are_in_order():
    assert threads.mapped(str, range(50)) == [str(i) for i in range(50)]
    assert threads.mapped(str, []) == []


def test_inside_threads_no_others_are_made(monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: 2)

    def inner(_):
        return threading.get_ident()

    def outer(_):
        return {threading.get_ident(), *threads.mapped(inner, range(4))}

    assert [len(x) for x in threads.mapped(outer, range(6))] == [1] * 6
    assert threading.get_ident() not in threads.mapped(inner, range(4))  # control


def test_processors_are_those_of_the_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert threads.count() == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    assert threads.count() == 64


def test_errors_reach_the_caller():
    with pytest.raises(ValueError, match="invalid literal"):
        threads.mapped(int, ["1", "x"])
