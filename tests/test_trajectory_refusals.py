"""What the store of trajectories refuses, and with which words."""

import json
import shutil

import jax
import numpy as np
import pytest
from synthetic_trajectory import (
    CONFIG,
    STEPS,
    assert_equal,
    make,
    record,
    start,
)

from linconn_jax import trajectory


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "run"
    with record(folder) as recorder:
        for step in STEPS:
            recorder.save(step, *make(step))
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"total": 0}, "total=0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"every": -1}, "every=-1"),
        ({"log_spaced": 0}, "log_spaced=0"),
        ({"steps": [-1, 5]}, r"steps to record \[-1\].*0 to 100 steps"),
        ({"epochs": [3, 11]}, r"epochs to record \[11\].*0 to 10.0 epochs"),
    ],
)
def test_steps_that_make_no_sense(options, message):
    options = {"total": 100, "steps_per_epoch": 10} | options
    with pytest.raises(ValueError, match=message):
        trajectory.record_steps(options.pop("total"), **options)


def test_missing_step_and_unknown_seed(recorded):
    run = trajectory.open(recorded)
    with pytest.raises(ValueError, match=r"step 11 is not .*nearest.*\[0, 10, 20\]"):
        run.load(11)
    with pytest.raises(ValueError, match=r"seeds \[5\] are not.*\(4, 7, 9\)"):
        run.load(10, seeds=5)
    with pytest.raises(ValueError, match=r"seeds \[\] are not"):
        run.load(10, seeds=())
    with pytest.raises(ValueError, match="no steps to stack"):
        run.stack(())
    with pytest.raises(ValueError, match="step 11"), record(recorded) as recorder:
        recorder.restore(make(0)[1], 11)


def test_folders_that_are_no_trajectory(tmp_path):
    with pytest.raises(
        ValueError, match=r"not a trajectory folder: .*nowhere does not"
    ):
        trajectory.open(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"config\.json does not exist"):
        trajectory.open(tmp_path)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"holds \['thesis.tex'\]"), record(tmp_path):
        pass
    with pytest.raises(ValueError, match="is a file"), record(tmp_path / "thesis.tex"):
        pass


@pytest.mark.parametrize("content", ["{", "[1]", '{"format": 1}', '{"format": 99}'])
def test_damaged_config(tmp_path, content):
    with record(tmp_path):
        pass
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json"):
        trajectory.open(tmp_path)
    with pytest.raises(ValueError, match=r"config\.json"), record(tmp_path):
        pass


def test_another_config(recorded):
    changed = {"model": {"name": "mlp", "widths": [3, 4]}, "momentum": 0.9}
    with (
        pytest.raises(ValueError, match="another config") as caught,
        record(recorded, config=changed, seeds=(4, 7, 9)),
    ):
        pass
    assert "model.widths: [3, 3] there, [3, 4] now" in str(caught.value)
    assert "learning_rate: 0.1 there, (absent) now" in str(caught.value)
    assert "momentum: (absent) there, 0.9 now" in str(caught.value)
    assert "name" not in str(caught.value)
    for options in ({"seeds": (1, 2, 3)}, {"steps": (0, 10)}):
        with pytest.raises(ValueError, match=next(iter(options))):
            record(recorded, **options).__enter__()
    record(recorded, config=json.loads(json.dumps(CONFIG))).__enter__()._close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": ()}, "seeds=()"),
        ({"seeds": (1, 1)}, "each once"),
        ({"steps": ()}, "steps=()"),
        ({"config": {"x": np.float32}}, "JSON-able"),
        ({"config": {"x": float("nan")}}, "JSON-able"),
    ],
)
def test_what_does_not_define_a_run(tmp_path, options, message):
    with pytest.raises(
        ValueError, match=message.replace("(", r"\(").replace(")", r"\)")
    ):
        record(tmp_path, **options)


class Twins:
    """Two leaves of one name."""


jax.tree_util.register_pytree_with_keys(
    Twins,
    lambda _: ([(jax.tree_util.DictKey("x"), np.zeros((3, 2), np.float32))] * 2, None),
    lambda *_: Twins(),
)


def replaced(**parts):
    names = ("variables", "resume", "diverged", "metrics")
    return tuple((dict(zip(names, make(0), strict=True)) | parts).values())


@pytest.mark.parametrize(
    ("step", "arrays", "message"),
    [
        (5, make(0), "step 5 is not among the 3 steps"),
        (0, make(0, rows=2), "leading axis of 2 but there are 3 seeds"),
        (0, replaced(variables={"x": np.zeros(3), "y": np.zeros(4)}), "leading"),
        (0, replaced(variables=Twins()), "several leaves by the names .'x'"),
        (0, replaced(resume=np.zeros(2, np.int32)), r"resume has shape \(2,\)"),
        (0, replaced(resume=np.zeros(3)), "dtype float64.*float32"),
        (0, replaced(resume=jax.random.split(jax.random.key(0), 3)), "key_data"),
        (0, replaced(resume=np.zeros(3, np.complex64)), "complex64"),
        (0, replaced(resume=3), "dtype int64"),
        (0, replaced(diverged=np.zeros(2, np.int32)), "diverged has shape"),
        (
            0,
            replaced(metrics={"loss": np.ones((), np.float32)}),
            "metrics/loss has shape",
        ),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, step, arrays, message):
    with record(tmp_path) as recorder:
        with pytest.raises(ValueError, match=message):
            recorder.save(step, *arrays)
        recorder.save(10, *make(10))  # the recorder goes on
    assert trajectory.open(tmp_path).steps == (10,)


def test_resuming_another_state(recorded):
    good = make(0)[1]
    wrong = [
        (good, np.int32(0)),
        (good[0]._replace(count=np.zeros(3, np.float32)), good[1]),
        (good[0]._replace(count=np.zeros((3, 2), np.int32)), good[1]),
        (good[0]._replace(count=None), good[1]),
    ]
    with record(recorded) as recorder:
        for example in wrong:
            with pytest.raises(ValueError, match="resumes another state"):
                recorder.restore(example)
        assert_equal(recorder.restore(good).resume, make(20)[1])


def test_closed_recorder(tmp_path):
    recorder = record(tmp_path)
    with pytest.raises(ValueError, match="recorder is closed"):
        recorder.save(0, *make(0))
    with recorder:
        pass
    with pytest.raises(ValueError, match="recorder is closed"):
        recorder.save(0, *make(0))


def test_second_recorder_in_one_process(tmp_path):
    first = record(tmp_path)
    with first, pytest.raises(ValueError, match="being recorded by pid"):
        record(tmp_path).__enter__()
    with record(tmp_path):
        pass


def test_lock_of_another_process_and_its_death(tmp_path):
    holder = start("hold", str(tmp_path))
    try:
        assert holder.stdout.readline() == "holding\n", holder.stderr.read()
        with (
            pytest.raises(ValueError, match=f"being recorded by pid {holder.pid} on"),
            record(tmp_path),
        ):
            pass
        assert_equal(trajectory.open(tmp_path).load(0), make(0)[0])  # reading may go on
    finally:
        holder.kill()
        holder.communicate()
    with record(tmp_path) as recorder:
        assert recorder.latest == 0


def test_full_disk(tmp_path):
    process = start("fill", str(tmp_path))
    said, err = process.communicate(timeout=120)
    # orbax stops waiting for one array when another has failed: at most this is heard.
    assert err == "" or err.endswith("RuntimeError: Event loop is closed\n")
    assert said.startswith("OSError the checkpoint of step 10 could not be written")
    assert "earlier checkpoints are intact" in said
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["0"]
    assert_equal(trajectory.open(tmp_path).load(0), make(0)[0])


def test_disk_without_room(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with (
        pytest.raises(
            OSError, match=r"step 0 could not .*it takes 300 bytes and 100 bytes are"
        ),
        record(tmp_path) as recorder,
    ):
        recorder.save(0, *make(0))
    assert trajectory.open(tmp_path).steps == ()


def fail(*_):
    raise OSError("no room")


def save_all(folder, steps, error=None):
    """Saves to a disk that takes nothing, then raises `error`."""
    with record(folder) as recorder:
        recorder._store.write = fail
        for step in steps:
            recorder.save(step, *make(step))
        if error is not None:
            raise error


def test_failed_save_is_raised(tmp_path):
    with pytest.raises(OSError, match="no room"):
        save_all(tmp_path, [0])
    with pytest.raises(KeyError) as caught:
        save_all(tmp_path, [0], KeyError("body"))
    assert "saving failed too: no room" in caught.value.__notes__[0]
    steps = iter((*STEPS, 0, 10))
    with pytest.raises(OSError, match="no room") as caught:
        save_all(tmp_path, steps)
    assert next(steps, None) is not None, "training went on to the end"
    assert not hasattr(caught.value, "__notes__")
