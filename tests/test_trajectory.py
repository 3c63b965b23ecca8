"""The store of trajectories: what goes in comes out, or a clear error does."""

import collections

import jax
import numpy as np
import pytest

from linconn_jax import trajectory

SEEDS = (4, 7, 9)
STEPS = (0, 10, 20)
CONFIG = {"model": {"name": "mlp", "widths": [3, 3]}, "learning_rate": 0.1}

OptState = collections.namedtuple("OptState", ["momentum", "count"])


def make(step, rows=len(SEEDS)):
    """Synthetic variables, resume, diverged and metrics of one step."""
    rng = np.random.default_rng(step)

    def normal(*shape):
        return rng.normal(size=(rows, *shape)).astype(np.float32)

    variables = {
        "params": {
            "dense_0": {"kernel": normal(2, 3), "bias": normal(3)},
            "scale": normal(),
        },
        "batch_stats": {"norm_0": {"mean": normal(3)}},
    }
    momentum = jax.tree.map(np.negative, variables["params"])
    resume = (OptState(momentum, np.full(rows, step, np.int32)), [np.int32(step)])
    diverged = np.where(np.arange(rows) == 1, step // 2, -1).astype(np.int32)
    return variables, resume, diverged, {"train_loss": normal(), "error": normal()}


def equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def record(folder, **options):
    options = {"seeds": SEEDS, "steps": STEPS} | options
    return trajectory.record(folder, options.pop("config", CONFIG), **options)


@pytest.fixture
def recorded(tmp_path):
    with record(tmp_path / "run") as recorder:
        for step in STEPS:
            recorder.save(step, *make(step))
    return tmp_path / "run"


def test_round_trip(recorded):
    run = trajectory.open(recorded)
    assert run.seeds == SEEDS
    assert run.steps == STEPS
    assert run.complete
    assert run.config == CONFIG
    for step, variables in run.stream():
        equal(variables, make(step)[0])
    chosen = run.load(10, seeds=(9, 4))
    equal(chosen, jax.tree.map(lambda x: x[[2, 0]], make(10)[0]))
    equal(run.load(20, seeds=7), jax.tree.map(lambda x: x[1], make(20)[0]))
    stacked = run.stack((20, 0), seeds=7)
    kernel = stacked["params"]["dense_0"]["kernel"]
    assert kernel.shape == (2, 2, 3)
    np.testing.assert_array_equal(
        kernel[1], make(0)[0]["params"]["dense_0"]["kernel"][1]
    )
    assert run.diverged == {7: 10}


def test_resume(recorded):
    example = jax.eval_shape(lambda: make(0)[1])
    with record(recorded) as recorder:
        assert recorder.latest == 20
        for step in (10, None):
            checkpoint = recorder.restore(example, step)
            variables, resume, diverged, metrics = make(step or 20)
            assert checkpoint.step == (step or 20)
            equal(checkpoint.variables, variables)
            equal(checkpoint.resume, resume)
            equal(checkpoint.diverged, diverged)
            for name, column in metrics.items():
                np.testing.assert_array_equal(checkpoint.metrics[name], column)
