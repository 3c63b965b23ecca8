"""The store of trajectories: what goes in comes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synthetic_trajectory import CONFIG, SEEDS, STEPS, assert_equal, make, record

from linconn_jax import parallel, trajectory
from linconn_jax.trajectory import packing
from linconn_jax.trajectory.checksum import as_text, checksum, checksum_on_host


@pytest.fixture
def recorded(tmp_path):
    with record(tmp_path / "run") as recorder:
        for step in STEPS:
            recorder.save(step, *make(step))
    return tmp_path / "run"


def test_round_trip(recorded):
    run = trajectory.open(recorded)
    assert (run.seeds, run.steps, run.planned) == (SEEDS, STEPS, STEPS)
    assert run.complete
    assert run.config == CONFIG
    for (step, variables), expected in zip(run.stream(), STEPS, strict=True):
        assert step == expected
        assert_equal(variables, make(step)[0])
    assert run.diverged == {7: 10}


def test_choice_of_seeds(recorded):
    run, variables = trajectory.open(recorded), make(20)[0]
    chosen = run.load(20, seeds=(9, 4))
    assert_equal(chosen, jax.tree.map(lambda x: x[np.array([2, 0])], variables))
    assert_equal(run.load(20, seeds=7), jax.tree.map(lambda x: x[1], variables))
    stacked = run.stack((20, 0), seeds=7)
    assert_equal(jax.tree.map(lambda x: x[0], stacked), run.load(20, seeds=7))
    assert_equal(jax.tree.map(lambda x: x[1], stacked), run.load(0, seeds=7))
    assert run.stack()["params"]["dense_0"]["kernel"].shape == (3, 3, 2, 3)


def test_metrics_rows(recorded):
    rows = trajectory.open(recorded).metrics()
    assert [(row["step"], row["seed"]) for row in rows] == [
        (step, seed) for step in STEPS for seed in SEEDS
    ]
    assert rows[4]["train_loss"] == make(10)[3]["train_loss"][1]


def test_metrics_that_are_not_finite(tmp_path):
    variables, resume, diverged, _ = make(0)
    losses = {"train_loss": np.array([np.nan, np.inf, -np.inf], np.float32)}
    with record(tmp_path) as recorder:
        recorder.save(0, variables, resume, diverged, losses)
    found = [row["train_loss"] for row in trajectory.open(tmp_path).metrics()]
    np.testing.assert_array_equal(found, losses["train_loss"])


def test_resume_from_the_newest_and_from_those_named(tmp_path):
    example = jax.eval_shape(lambda: make(0)[1])
    with record(tmp_path, resume_at=(0, 10)) as recorder:
        for step in STEPS:
            recorder.save(step, *make(step))
    with record(tmp_path) as recorder:
        assert recorder.latest == 20
        for asked, step in ((0, 0), (10, 10), (None, 20)):
            checkpoint = recorder.restore(example, asked)
            variables, resume, diverged, metrics = make(step)
            assert checkpoint.step == step
            assert_equal(checkpoint.variables, variables)
            assert_equal(checkpoint.resume, resume)
            assert_equal(checkpoint.diverged, diverged)
            assert metrics.keys() == checkpoint.metrics.keys()
            for name, column in metrics.items():
                np.testing.assert_array_equal(checkpoint.metrics[name], column)


def test_example_of_one_seed_serves(recorded):
    one = jax.tree.map(lambda x: x[0] if x.ndim else x, make(0)[1])
    with record(recorded) as recorder:
        assert_equal(recorder.restore(one).resume, make(20)[1])


def test_read_while_recorded(tmp_path):
    with record(tmp_path) as recorder:
        assert recorder.latest is None
        assert recorder.restore(make(0)[1]) is None
        run = trajectory.open(tmp_path)
        assert run.steps == ()
        assert run.diverged == {}
        recorder.save(0, *make(0))
        recorder.save(10, *make(10))
        recorder.wait()
        assert run.steps == (0, 10)
        assert not run.complete
        assert_equal(run.load(10), make(10)[0])
        recorder.save(20, *make(20))
    assert run.complete


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
def test_last_checkpoint_survives_an_exception(tmp_path, error):
    def train():
        with record(tmp_path) as recorder:
            for step in STEPS:
                recorder.save(step, *make(step))
            raise error

    with pytest.raises(error):
        train()
    assert_equal(trajectory.open(tmp_path).load(20), make(20)[0])


def test_folder_may_be_relative_and_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with record("runs/a") as recorder:
        monkeypatch.chdir("/")
        recorder.save(0, *make(0))
    moved = (tmp_path / "runs" / "a").rename(tmp_path / "b")
    assert_equal(trajectory.open(moved).load(0), make(0)[0])


def test_every_storable_dtype(tmp_path):
    rng = np.random.default_rng(0)
    names = ["bool", "float16", "bfloat16", "float32"]
    names += [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32)]
    tree = {name: rng.normal(size=(3, 5)).astype(jnp.dtype(name)) for name in names}
    tree["float32"][0, 0] = np.nan
    tree["empty"] = np.zeros((3, 0, 2), np.float32)
    tree["scalar"] = np.float32(0.1)
    variables, _, diverged, metrics = make(0)
    with record(tmp_path) as recorder:
        recorder.save(0, variables, tree, diverged, metrics)
        assert_equal(recorder.restore(tree).resume, tree)


def test_eight_byte_dtypes(tmp_path, x64):
    tree = {"a": np.random.default_rng(0).normal(size=(3, 5)), "b": np.arange(3) - 1}
    variables, _, diverged, metrics = make(0)
    with record(tmp_path) as recorder:
        recorder.save(0, variables, tree, diverged, metrics)
        assert_equal(recorder.restore(tree).resume, tree)


def test_empty_resume(tmp_path):
    variables, _, diverged, metrics = make(0)
    with record(tmp_path) as recorder:
        recorder.save(0, variables, (), diverged, metrics)
        assert recorder.restore(()).resume == ()


def test_state_too_large_for_a_device_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "_HOST_BYTES", 0)
    state = jax.tree.map(jnp.asarray, make(0)[:2])
    with record(tmp_path) as recorder:
        recorder.save(0, *state, *make(0)[2:])
        monkeypatch.undo()
        recorder.save(0, *state, *make(0)[2:])  # the same digests from the device
        assert_equal(recorder.restore(make(0)[1]).resume, make(0)[1])


def test_split_over_devices_and_padded(tmp_path):
    mesh = parallel.make_mesh(len(SEEDS), devices=jax.devices()[:2])
    variables, resume, diverged, metrics = make(0)
    state = parallel.shard((variables, resume[0], diverged, metrics), mesh)
    assert state[2].shape == (4,)
    layout = {"variables": packing.describe(state[0], 4, "variables")}
    words = packing.snapshot({"variables": state[0]}, layout, 4, {})[0]["variables"]
    assert {shard.data.shape[0] for shard in words.addressable_shards} == {2}
    with record(tmp_path) as recorder:
        recorder.save(0, state[0], (state[1], resume[1]), *state[2:])
        checkpoint = recorder.restore(resume)
        assert_equal(checkpoint.variables, variables)
        assert_equal(checkpoint.resume, resume)
        assert_equal(checkpoint.diverged, diverged)
        # Unpadded on one device, the content is the same.
        recorder.save(0, variables, resume, diverged, metrics)


def test_states_may_be_donated(tmp_path):
    train = jax.jit(
        lambda state: jax.tree.map(lambda x: jnp.float32(1.5) * x, state),
        donate_argnums=0,
    )
    variables, resume, _, metrics = make(1)
    state = (variables, resume, np.ones(3), metrics)  # diverged grows here, for a test
    state = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), state)
    expected = jax.tree.map(np.array, state)
    steps = range(20)
    with record(tmp_path, steps=tuple(steps), resume_at=steps) as recorder:
        for step in steps:
            recorder.save(step, *state)
            state = train(state)
        for step in steps:
            checkpoint = recorder.restore(expected[1], step)
            assert_equal((checkpoint.variables, checkpoint.resume), expected[:2])
            for name, column in expected[3].items():
                np.testing.assert_array_equal(checkpoint.metrics[name], column)
            expected = jax.tree.map(lambda x: np.float32(1.5) * x, expected)


def test_snapshot_outlives_deleted_arrays(tmp_path):
    # A lone uint32 leaf needs no conversion: jit could hand the same buffer back.
    leaf = jnp.arange(6, dtype=jnp.uint32).reshape(3, 2)
    small = (jnp.full(3, -1, jnp.int32), {"train_loss": jnp.ones(3)})
    with record(tmp_path) as recorder:
        recorder.save(0, {"params": leaf}, (), *small)
        for array in jax.tree.leaves((leaf, small)):
            array.delete()
    found = trajectory.open(tmp_path).load(0)["params"]
    np.testing.assert_array_equal(found, np.arange(6).reshape(3, 2))


def test_a_step_recorded_already_is_compared(recorded):
    with record(recorded) as recorder:
        recorder.save(10, *make(10))
    variables, resume, diverged, metrics = make(10)
    resume[0].momentum["scale"][2] = np.nextafter(np.float32(1), np.float32(2))
    with (
        pytest.raises(ValueError, match=r"step 10 .*differs for resume of seeds \[9\]"),
        record(recorded) as recorder,
    ):
        recorder.save(10, variables, resume, diverged, metrics)
    assert_equal(trajectory.open(recorded).load(10), make(10)[0])


@pytest.mark.parametrize("shape", [(1, 1), (3, 40000), (2, 7)])
def test_checksum_on_device_and_host(shape):
    words = np.random.default_rng(0).integers(2**32, size=shape, dtype=np.uint32)
    on_device = np.asarray(jax.jit(checksum)(words))
    np.testing.assert_array_equal(on_device, checksum_on_host(words))


def test_checksum_sees_changes():
    words = np.zeros((1, 300), np.uint32)
    words[0, :3] = 7, 7, 8
    seen = {as_text(checksum_on_host(words))[0]}
    for byte in range(words.nbytes):
        for mask in (1, 128, 255):
            changed = words.copy()
            changed.view(np.uint8)[0, byte] ^= mask
            seen.add(as_text(checksum_on_host(changed))[0])
    swapped = words.copy()
    swapped[0, [1, 2]] = words[0, [2, 1]]
    seen.add(as_text(checksum_on_host(swapped))[0])
    assert len(seen) == 1 + 3 * words.nbytes + 1
    # First lane alone: a sum would not see the swap.
    assert checksum_on_host(swapped)[0, 0] != checksum_on_host(words)[0, 0]


def test_record_steps():
    def steps(total=100, **options):
        return trajectory.record_steps(total, steps_per_epoch=10, **options)

    assert steps() == (0, 100)
    assert steps(every=40) == (0, 40, 80, 100)
    assert steps(steps=[7, 3, 100]) == (0, 3, 7, 100)
    assert steps(epochs=[1, 2.5, 0.04]) == (0, 10, 25, 100)
    assert steps(log_spaced=3) == (0, 1, 10, 100)
    assert steps(every=50, steps=[1]) == (0, 1, 50, 100)
    assert steps(total=1, log_spaced=9, every=1) == (0, 1)
    many = steps(total=10**6, log_spaced=31)
    assert len(many) == 32
