"""Trajectories that are damaged or killed: reported or repaired, never used."""

import random
import shutil
import socket

import numpy as np
import pytest
from synthetic_trajectory import (
    advance,
    assert_equal,
    finish,
    first_state,
    make,
    record,
    start,
)

from linconn_jax import trajectory


@pytest.fixture
def run(tmp_path):
    with record(tmp_path / "run", resume_at=(0,)) as recorder:
        for step in (0, 10):
            recorder.save(step, *make(step))
    return tmp_path / "run"


def outcome(folder, step):
    """What loading everything of a checkpoint gives: "same", or the error's text."""
    try:
        with record(folder) as recorder:
            checkpoint = recorder.restore(make(0)[1], step)
    except ValueError as error:
        return str(error)
    found = (checkpoint.variables, checkpoint.resume, checkpoint.diverged)
    assert_equal(found, make(step)[:3])
    for name, column in make(step)[3].items():
        np.testing.assert_array_equal(checkpoint.metrics[name], column)
    return "same"


@pytest.mark.slow
def test_every_flipped_byte(run):
    """One random change of each byte of each file is harmless or reported."""
    rng = random.Random(0)
    folder = run / "checkpoints" / "10"
    outcomes = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        seen = outcomes.setdefault(str(path.relative_to(folder)), [])
        for at in range(len(content)):
            changed = bytearray(content)
            changed[at] ^= rng.randrange(1, 256)
            path.write_bytes(changed)
            seen.append(outcome(run, 10))
        path.write_bytes(content)
    for name, seen in outcomes.items():
        for text in seen:
            assert text == "same" or "step 10" in text, name
            assert text == "same" or str(run) in text, name
        # Nothing of what was saved may be changed unseen.
        assert name.endswith("0.0") == ("same" not in seen), name
    assert outcome(run, 10) == "same"


def test_flip_names_the_seed(run):
    path = run / "checkpoints" / "10" / "variables" / "0.0"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # the middle row is that of seed 7
    path.write_bytes(content)
    reading = trajectory.open(run)
    with pytest.raises(ValueError, match=r"step 10 .*variables of seeds \[7\]"):
        reading.load(10)
    with pytest.raises(ValueError, match=r"seeds \[7\]"):
        reading.load(10, seeds=7)
    np.testing.assert_array_equal(
        reading.load(10, seeds=9)["params"]["scale"], make(10)[0]["params"]["scale"][2]
    )
    reading.load(0)


def test_missing_files(run):
    for path in sorted(
        p for p in (run / "checkpoints" / "10").rglob("*") if p.is_file()
    ):
        hidden = path.rename(run / "hidden")
        found = outcome(run, 10)
        assert "step 10" in found or (found == "same" and path.suffix == ".txt"), path
        hidden.rename(path)
    assert outcome(run, 10) == "same"


def test_checkpoint_of_another_step_or_run(run, tmp_path):
    checkpoints = run / "checkpoints"
    shutil.copytree(checkpoints / "10", checkpoints / "20")
    assert "belongs to step 10" in outcome(run, 20)
    with record(tmp_path / "other", config={}) as recorder:
        recorder.save(0, *make(0))
    shutil.rmtree(checkpoints / "0")
    shutil.copytree(tmp_path / "other" / "checkpoints" / "0", checkpoints / "0")
    assert "belongs to another run" in outcome(run, 0)


def test_unfinished_folders_are_ignored_then_removed(run):
    unfinished = run / "checkpoints" / "20.orbax-checkpoint-tmp"
    shutil.copytree(run / "checkpoints" / "10", unfinished)
    assert trajectory.open(run).steps == (0, 10)
    assert unfinished.exists()
    with record(run) as recorder:
        assert recorder.latest == 10
        assert not unfinished.exists()


def killed_run(folder, kills, seed, losses=0):
    """Kills a run over and over; checks that it ends in the bits of a whole one."""
    total, every = 1200, 4
    process = start("train_and_kill", str(folder), total, every, kills, seed, losses)
    lines = [line.split() for line in finish(process, 300).splitlines()]
    left = [int(steps) for steps, _, _ in lines]
    assert losses or left == sorted(left)
    assert len(set(left)) > 3, left  # kills fell into different places
    assert {resumes for _, _, resumes in lines} == {"1"}, lines
    state = first_state()
    reading = trajectory.open(folder)
    assert reading.complete
    assert all(p.name.isdecimal() for p in (folder / "checkpoints").iterdir())
    assert len(reading.resumable) == 1
    for step in range(total + 1):
        if step:
            state = advance(state)
        if step % every == 0:
            assert_equal(reading.load(step), state[0])
    with record(folder, steps=reading.planned) as recorder:
        assert_equal(recorder.restore(state[1]).resume, state[1])
    return sum(int(unfinished) for _, unfinished, _ in lines)


def test_killed_at_random_moments(tmp_path):
    killed_run(tmp_path / "run", kills=8, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("losses", [0, 8])
def test_killed_at_many_random_moments(tmp_path, losses):
    """Also where, between kills, checkpoints get lost anywhere."""
    runs = [
        killed_run(tmp_path / f"run_{i}", kills=12, seed=i, losses=losses)
        for i in range(1, 5)
    ]
    assert sum(runs) > 0, "no kill fell into a save"


def test_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = str(tmp_path / "run")
    processes = [start("one_of_two", folder, index, port) for index in range(2)]
    try:
        results = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, err) in zip(processes, results, strict=True):
        assert process.returncode == 0, err
    # One process, other devices.
    reading = trajectory.open(folder)
    assert reading.complete
    for step in reading.steps:
        assert_equal(reading.load(step), make(step)[0])
    assert reading.diverged == {7: 10}
