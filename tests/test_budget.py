"""What training would take: said before it begins, and refused where it cannot fit."""

import shutil
import time
import types

import jax
import pytest
from synthetic_study import EXPERIMENTS, settings

from linconn_jax import machine
from linconn_jax.study import Study, budget

pytestmark = pytest.mark.usefixtures("ordinary_promotion")


def test_the_bytes_are_those_on_the_disk(tmp_path, capsys):
    study = Study(settings(), tmp_path)
    (need,) = study.needs()
    assert (need.networks, need.together) == (7, 7)
    assert (need.checkpoints, need.optimizer_states) == (21, 14)
    study.train()
    assert "to train: 7 networks of 1.04 kB" in capsys.readouterr().err
    rows = 8  # padded to four devices
    checkpoints = next(tmp_path.rglob("checkpoints"))
    tables = [p.stat().st_size for p in checkpoints.rglob("variables/*.0")]
    assert sum(tables) == 3 * rows * need.network
    tables = [p.stat().st_size for p in checkpoints.rglob("resume/*.0")]
    assert sum(tables) == rows * need.optimizer_state
    (left,) = Study(settings(), tmp_path).needs()
    assert (left.networks, left.memory, left.disk) == (0, 0, 0)
    study.train()
    assert "to train" not in capsys.readouterr().err


def test_copies_need_their_parent(tmp_path):
    study = Study(settings(copies={"of": 9, "at_epoch": 1}), tmp_path)
    (need,) = study.needs()
    assert (need.networks, need.checkpoints) == (8, 7 * 2 + 3)


def test_groups_that_are_trained_one_after_the_other(tmp_path):
    """Of two groups that are lacking the states are written one after the other."""
    few = {"pairs": None, "simultaneous__pairs": (), "strong__simplices": ()}
    study = Study(settings(seeds=2, **few), tmp_path)
    study.train()
    for step in (4, 8):
        shutil.rmtree(next(tmp_path.rglob(f"checkpoints/{step}")))
    (need,) = Study(settings(), tmp_path).needs()
    assert (need.networks, need.together, need.checkpoints) == (7, 5, 2 * 2 + 5 * 3)
    assert need.optimizer_states == 7 + 5


@pytest.mark.parametrize(
    ("platform", "size", "copies"),
    [("cpu", 2**33, 2), ("gpu", 2**33, 1), ("gpu", 2**30, 2)],
)
def test_large_states_are_copied_to_the_host(platform, size, copies, monkeypatch):
    """Then an accelerator holds them once."""
    devices = jax.device_count()
    found = types.SimpleNamespace(platform=platform)
    monkeypatch.setattr(jax, "devices", lambda: [found])
    need = budget.Need(3, 1, size * devices, 0, 1, 1, 1)
    assert need.memory == copies * size * devices


def test_networks_larger_than_the_memory(tmp_path, monkeypatch):
    began = time.monotonic()
    with pytest.raises(
        ValueError, match=r"7 networks .* of 8 TB each .* of memory: ask"
    ):
        Study(settings(widths=(10**6,), simultaneous__widths=()), tmp_path).check()
    few = {"pairs": None, "simultaneous__pairs": (), "strong__simplices": ()}
    study = Study(settings(seeds=5_000_000, **few), tmp_path)
    monkeypatch.setattr(machine, "memory", lambda: 2 * 10**10)
    with pytest.raises(ValueError, match="5000000 networks .* take .* GB of memory"):
        study.run(EXPERIMENTS["weak"])
    assert time.monotonic() - began < 10
    assert not list(tmp_path.iterdir())


def test_checkpoints_larger_than_the_room(tmp_path, monkeypatch):
    """Each of them would fit, all do not."""
    study = Study(settings(), tmp_path)
    (need,) = study.needs()
    monkeypatch.setattr(machine, "room", lambda _: need.disk - 1)
    with pytest.raises(ValueError, match="checkpoints .* take .* are free where"):
        study.train()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(machine, "room", lambda _: need.disk)
    study.train()
    monkeypatch.setattr(machine, "room", lambda _: 0)
    study.train()  # all is there


def test_too_many_pairs(tmp_path):
    study = Study(settings(seeds=501, pairs=None), tmp_path)
    with pytest.raises(ValueError, match="501 seeds, of which all pairs are too many"):
        study.run(EXPERIMENTS["weak"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__epochs": 1e12}, "train.epochs=.* steps; they are counted to"),
        (
            {"train__epochs": 10**6, "checkpoints__every": 1},
            "every=1, .* are 4000000 checkpoints; ask for at most 100000",
        ),
        ({"checkpoints__log_spaced": 10**9}, "log_spaced=1000000000"),
    ],
)
def test_more_steps_than_can_be_recorded(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Study(settings(**changes), tmp_path).check()


def test_sizes_in_words():
    sizes = {0: "0 bytes", 999: "999 bytes", 1500: "1.5 kB", 8 * 10**12: "8 TB"}
    assert {count: machine.size(count) for count in sizes} == sizes
    assert machine.host_memory() > 10**8
    assert machine.memory() >= machine.host_memory()
