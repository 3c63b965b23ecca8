"""Where training goes on from, and how lost checkpoints are made anew."""

import itertools
import json
import shutil

import jax
import numpy as np
import pytest
from synthetic_trajectory import advance, assert_equal, first_state, make, record, train

from linconn_jax import trajectory
from linconn_jax.trajectory.resuming import Ledger

TOTAL, EVERY = 30, 5


def expected(step):
    state = first_state()
    for _ in range(step):
        state = advance(state)
    return state


def check_whole(folder, resumable):
    run = trajectory.open(folder)
    assert run.complete
    assert run.resumable == resumable
    for step in run.steps:
        assert_equal(run.load(step), expected(step)[0])
    for step in resumable:
        found = run.checkpoint(step, first_state()[1])
        assert_equal((found.variables, found.resume), expected(step))
    names = {p.name for p in (folder / "checkpoints").iterdir()}
    assert names == {str(step) for step in run.planned}


def lose(folder, *steps):
    for step in steps:
        shutil.rmtree(folder / "checkpoints" / str(step))


@pytest.mark.parametrize("resume_at", [(), (0,), (4,)])
def test_every_state_of_a_folder_can_be_gone_on_from(resume_at):
    """Whatever is recorded and resumable: what is missing is trained, to its end."""
    planned = (0, 2, 4, 7)
    for kinds in itertools.product((0, 1, 2), repeat=len(planned)):
        recorded = {s for s, kind in zip(planned, kinds, strict=True) if kind}
        resumable = {s for s, kind in zip(planned, kinds, strict=True) if kind == 2}
        ledger = Ledger(planned, recorded, resumable, resume_at)
        stretches = ledger.to_do()
        for start, stop in stretches:
            assert start is None or start in resumable
            assert stop in recorded or stop == planned[-1]
        for step in planned:
            wanted = step in resume_at and step not in resumable
            if step not in recorded or wanted:
                ((_, stop),) = (x for x in stretches if (x[0] or 0) <= step <= x[1])
                assert wanted or stop > step or step == planned[-1]  # then compared
        needed = {start for start, _ in stretches} | set(resume_at)
        needed |= {max(recorded, default=None)}
        assert not needed & set(ledger.superfluous())


def test_only_the_newest_and_named_steps_keep_the_optimiser(tmp_path):
    assert train(tmp_path, TOTAL, EVERY, resume_at=(10,)) == TOTAL
    check_whole(tmp_path, (10, 30))
    with pytest.raises(ValueError, match=r"step 5 .* no longer .*are \[10, 30\]"):
        trajectory.open(tmp_path).checkpoint(5, first_state()[1])
    assert train(tmp_path, TOTAL, EVERY) == 0  # what is there is left as it is
    check_whole(tmp_path, (10, 30))


def test_steps_that_are_named_later_are_resumable_again(tmp_path):
    train(tmp_path, TOTAL, EVERY)
    assert train(tmp_path, TOTAL, EVERY, resume_at=(15, 20)) == 20
    check_whole(tmp_path, (15, 20, 30))


@pytest.mark.parametrize(
    ("lost", "steps"),
    [((0,), 5), ((15,), 20), ((5, 15, 20), 25), ((30,), 30), ((0, 30), 30)],
)
def test_lost_checkpoints_are_made_anew(tmp_path, lost, steps):
    train(tmp_path, TOTAL, EVERY)
    lose(tmp_path, *lost)
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("variables/0.0")}
    assert train(tmp_path, TOTAL, EVERY) == steps
    check_whole(tmp_path, (30,))
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


def test_they_are_made_from_the_nearest_state(tmp_path):
    train(tmp_path, TOTAL, EVERY, resume_at=(5, 20))
    lose(tmp_path, 10, 25)
    assert train(tmp_path, TOTAL, EVERY, resume_at=(5, 20)) == 10 + 10
    check_whole(tmp_path, (5, 20, 30))


def test_one_whose_successor_differs_is_not_accepted(tmp_path):
    def otherwise(state):
        return jax.tree.map(lambda x: x + np.uint32(1), advance(state))

    train(tmp_path, TOTAL, EVERY, resume_at=(10,))
    lose(tmp_path, 15)
    for _ in range(2):
        with pytest.raises(ValueError, match="step 20 .*differs.* 15 is not made anew"):
            train(tmp_path, TOTAL, EVERY, resume_at=(10,), advance=otherwise)
        assert trajectory.open(tmp_path).steps == (0, 5, 10, 20, 25, 30)
    assert train(tmp_path, TOTAL, EVERY, resume_at=(10,)) == 10
    check_whole(tmp_path, (10, 30))


def test_a_long_way_back_is_not_gone_twice(tmp_path):
    """Training that makes the newest anew can be interrupted, too."""

    def interrupted(state):
        if state[0]["params"]["w"][0, 0] == expected(22)[0]["params"]["w"][0, 0]:
            raise KeyboardInterrupt
        return advance(state)

    train(tmp_path, TOTAL, EVERY)
    lose(tmp_path, 30)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, TOTAL, EVERY, advance=interrupted)
    assert trajectory.open(tmp_path).resumable[-1] == 20
    assert train(tmp_path, TOTAL, EVERY) == 10
    check_whole(tmp_path, (30,))


def test_folders_with_the_optimiser_at_every_step_are_read(tmp_path):
    """As versions before wrote them: nothing is taken out of what is whole."""
    every_step = range(0, TOTAL + 1, EVERY)
    train(tmp_path, TOTAL, EVERY, resume_at=every_step)
    assert train(tmp_path, TOTAL, EVERY) == 0
    check_whole(tmp_path, tuple(every_step))
    lose(tmp_path, 15)
    assert train(tmp_path, TOTAL, EVERY) == 10
    check_whole(tmp_path, (30,))


def test_made_anew_with_other_padding(tmp_path):
    """On other devices stacks have other numbers of rows."""
    with record(tmp_path) as recorder:
        for step in (0, 10, 20):
            recorder.save(step, *make(step))
    padded = jax.tree.map(
        lambda x: x if np.ndim(x) == 0 else np.concatenate([x, x[-1:]]), make(10)
    )
    with record(tmp_path, resume_at=(10,)) as recorder:
        recorder.save(10, *padded)
        assert_equal(recorder.restore(make(10)[1], 10).resume, make(10)[1])


def test_unknown_step_to_resume_at(tmp_path):
    with pytest.raises(ValueError, match=r"resume_at holds \[7\].* add them to"):
        record(tmp_path, resume_at=(7, 10))


def test_what_a_kill_leaves_is_tidied_by_who_holds_the_lock(tmp_path):
    train(tmp_path, TOTAL, EVERY)
    checkpoints = tmp_path / "checkpoints"
    for name in ("30.orbax-checkpoint-tmp", "15.unproven", "15.resume"):
        (checkpoints / name).mkdir()
    (tmp_path / ".config.json.0123abcd").write_text(json.dumps({}))
    with record(tmp_path, steps=range(0, 31, 5)):
        (checkpoints / "5.resume").mkdir()
        trajectory.tidy(tmp_path)
        assert (checkpoints / "5.resume").exists()  # somebody is recording
    trajectory.tidy(tmp_path)
    check_whole(tmp_path, (30,))
    assert not (tmp_path / ".config.json.0123abcd").exists()
