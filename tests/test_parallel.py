"""The parallel primitive: padding, meshes, launches of several processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import parallel


@pytest.fixture
def initialized(monkeypatch):
    """Arguments of calls of `jax.distributed.initialize`, which is not run."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args: calls.append(args))
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: False)
    return calls


@pytest.mark.parametrize("items", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("at_once", [None, 1, 2])
@pytest.mark.parametrize("devices", [1, 4])
def test_split_map_is_a_map(items, at_once, devices):
    mesh = parallel.make_mesh(items, devices=jax.devices()[:devices])
    mapped = parallel.split_map(lambda x, shared: x * shared + 1, mesh, at_once=at_once)
    given = np.arange(2 * items, dtype=np.float32).reshape(items, 2)
    placed = parallel.shard(given, mesh)
    assert placed.shape[0] == parallel.padded_size(items, mesh)
    found = np.asarray(jax.jit(mapped)(placed, jnp.float32(3)))
    np.testing.assert_array_equal(found[:items], given * 3 + 1)
    np.testing.assert_array_equal(
        found[items:], np.repeat(found[items - 1 : items], len(found) - items, axis=0)
    )


@pytest.mark.parametrize(
    ("items", "batch_size", "devices", "shape"),
    [
        (8, 16, 4, (4, 1)),  # enough items for all
        (3, None, 4, (3, 1)),  # what is left over has nothing to do
        (2, 16, 4, (2, 2)),  # what is left over shares batches
        (1, 16, 4, (1, 4)),
        (1, 6, 4, (1, 2)),  # as far as the batch divides
        (1, 5, 4, (1, 1)),
        (1, 16, 3, (1, 1)),
    ],
)
def test_meshes(items, batch_size, devices, shape):
    mesh = parallel.make_mesh(
        items, batch_size=batch_size, devices=jax.devices()[:devices]
    )
    assert (mesh.shape[parallel.SEED], mesh.shape[parallel.BATCH]) == shape


def test_replicated_whole_and_split_in_order():
    mesh = parallel.make_mesh(4)
    values = np.arange(8.0, dtype=np.float32).reshape(4, 2)
    whole = parallel.replicate(values, mesh)
    assert all((s.data == values).all() for s in whole.addressable_shards)
    split = parallel.shard(values, mesh)
    parts = sorted(split.addressable_shards, key=lambda s: s.index[0].start)
    np.testing.assert_array_equal(np.concatenate([s.data for s in parts]), values)
    assert {s.data.shape for s in parts} == {(1, 2)}


def test_alone_nothing_is_sent():
    assert parallel.same_everywhere(7) == 7
    assert parallel.same_everywhere(True) is True
    assert parallel.is_main_process()


def test_a_launch_by_environment_variables(initialized, monkeypatch):
    for name, value in (
        ("JAX_COORDINATOR_ADDRESS", "host:1234"),
        ("JAX_NUM_PROCESSES", "4"),
        ("JAX_PROCESS_ID", "3"),
    ):
        monkeypatch.setenv(name, value)
    parallel.initialize()
    assert initialized == [("host:1234", 4, 3)]


@pytest.mark.parametrize(
    ("name", "value", "calls"),
    [
        ("SLURM_NTASKS", "4", 1),
        ("SLURM_NTASKS", "1", 0),
        ("OMPI_COMM_WORLD_SIZE", "2", 1),
        ("TPU_WORKER_HOSTNAMES", "a,b", 1),
        ("TPU_WORKER_HOSTNAMES", "a", 0),
    ],
)
def test_clusters_are_recognised(name, value, calls, initialized, monkeypatch):
    monkeypatch.setenv(name, value)
    parallel.initialize()
    assert len(initialized) == calls


@pytest.mark.parametrize("value", [None, "", "two", "-1"])
def test_half_a_launch_is_refused(value, initialized, monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:1234")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    if value is not None:
        monkeypatch.setenv("JAX_PROCESS_ID", value)
    with pytest.raises(ValueError, match="JAX_PROCESS_ID is"):
        parallel.initialize()
    assert initialized == []
