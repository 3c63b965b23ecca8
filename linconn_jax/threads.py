"""Calls side by side, in threads of the processors that this process may use."""

import concurrent.futures
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

_OURS = threading.local()


def count() -> int:
    """Processors that this process may use, which can be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def mapped(function: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
    """What the function makes of each item, in their order.

    In a thread of another such call it is one item after the other: those threads have
    the processors already.
    """
    items = list(items)
    if len(items) < 2 or getattr(_OURS, "inside", False):
        return [function(x) for x in items]
    workers = min(count(), len(items))
    with concurrent.futures.ThreadPoolExecutor(workers, initializer=_enter) as pool:
        return list(pool.map(function, items))


def _enter() -> None:
    _OURS.inside = True
