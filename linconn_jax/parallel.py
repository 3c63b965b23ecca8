"""The one parallel primitive: a leading axis split over devices, looped inside each.

A mesh has two axes. `seed` splits the leading axis of stacked things (networks in
training, points of a simplex); `batch` splits the examples of one network. On one CPU
core both have length 1 and the same code runs.
"""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from linconn_jax import checks
from linconn_jax.typing import PyTree

T = TypeVar("T", int, np.ndarray)

SEED, BATCH = "seed", "batch"


def initialize() -> None:
    """Joins the other processes of a multi-process launch, if there are any.

    Cloud TPU pods, Slurm, Open MPI and Kubernetes are recognised by
    `jax.distributed.initialize` itself; elsewhere set `JAX_COORDINATOR_ADDRESS`
    (host:port), `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` in each process. Call before
    anything else touches JAX; a second call does nothing.

    Raises:
      ValueError: one of the three is missing or not a number.
    """
    if jax.distributed.is_initialized():
        return
    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if address is not None:
        numbers = (_number_from(n) for n in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
        jax.distributed.initialize(address, *numbers)
    elif _cluster_of_several():
        jax.distributed.initialize()


def is_main_process() -> bool:
    """Whether this process is the one that writes rows, pictures and messages."""
    return jax.process_index() == 0


def same_everywhere(value: T) -> T:
    """The first process's `value` (int, bool or array of int32), in all processes.

    What every process looks up on a shared disk, or times by its own clock, may differ;
    branches and lengths that lead to collective work must not.
    """
    if jax.process_count() == 1:
        return value
    sent = multihost_utils.broadcast_one_to_all(np.asarray(value, np.int32))
    return np.asarray(sent) if isinstance(value, np.ndarray) else type(value)(sent)


def make_mesh(
    items: int,
    *,
    batch_size: int | None = None,
    batch_devices: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Mesh:
    """A (seed, batch) mesh over all devices for `items` things to be mapped.

    Args:
      items: length of the leading axis that `split_map` will split.
      batch_size: examples of one network's batch that the batch axis may split; None
        forbids splitting.
      batch_devices: length of the batch axis; by default 1, or, when there are more
        devices than items, the largest split of the batch that the spare devices allow.
      devices: the devices to use; all of all processes by default.

    Raises:
      ValueError: no items, or `batch_devices` does not divide devices and batch.
    """
    devices = list(jax.devices() if devices is None else devices)
    if items < 1:
        raise ValueError(f"there are {items} items to map; there must be at least 1")
    if batch_devices is None:
        spare = len(devices) // items if batch_size else 1
        batch_devices = next(
            size
            for size in range(max(spare, 1), 0, -1)
            if len(devices) % size == 0 and (batch_size or 1) % size == 0
        )
    if (
        batch_devices < 1
        or len(devices) % batch_devices
        or (batch_size or batch_devices) % batch_devices
    ):
        raise ValueError(
            f"batch_devices={batch_devices} must divide the {len(devices)} devices and "
            f"the batch size {batch_size}"
        )
    if len(devices) > items * batch_devices and jax.process_count() == 1:
        devices = devices[: items * batch_devices]
    grid = np.asarray(devices).reshape(-1, batch_devices)
    return Mesh(grid, (SEED, BATCH), axis_types=(AxisType.Auto, AxisType.Auto))


def split_map(
    function: Callable[..., PyTree], mesh: Mesh, *, at_once: int | None = None
) -> Callable[..., PyTree]:
    """`mapped(items, *shared)`: `function(item, *shared)` over the leading axis of items.

    The leading axis, padded by `pad` to a multiple of the mesh's seed axis, is split over
    devices; inside a device, items run `at_once` together (a `vmap`) in a loop. This is
    what `jax.pmap` has been since JAX 0.8. `function` sees the mesh axis `batch` and may
    reduce over it. Call inside `jax.jit`.

    Args:
      function: takes one item (no leading axis) and the shared arguments.
      mesh: from `make_mesh`.
      at_once: items vectorised together on one device; None for all of them.

    Raises:
      ValueError: `at_once` is less than 1.
    """
    checks.check("at_once", at_once, checks.optional(checks.whole(1)))

    def on_one_device(items: PyTree, *shared: Any) -> PyTree:
        local = jax.tree.leaves(items)[0].shape[0]

        def one(item: PyTree) -> PyTree:
            return function(item, *shared)

        if at_once is None or at_once >= local:
            return jax.vmap(one)(items)
        return jax.lax.map(one, items, batch_size=None if at_once == 1 else at_once)

    def mapped(items: PyTree, *shared: Any) -> PyTree:
        return jax.shard_map(
            on_one_device,
            mesh=mesh,
            in_specs=(P(SEED), *(P() for _ in shared)),
            out_specs=P(SEED),
            check_vma=False,
        )(items, *shared)

    return mapped


def padded_size(items: int, mesh: Mesh) -> int:
    """`items` rounded up to a multiple of the mesh's seed axis."""
    slots = mesh.shape[SEED]
    return math.ceil(items / slots) * slots


def pad(tree: PyTree, mesh: Mesh) -> PyTree:
    """Host arrays with their leading axis padded by repeating the last item."""

    def one(leaf: Any) -> np.ndarray:
        leaf = np.asarray(leaf)
        extra = padded_size(leaf.shape[0], mesh) - leaf.shape[0]
        return np.concatenate([leaf, np.repeat(leaf[-1:], extra, axis=0)])

    return jax.tree.map(one, tree)


def shard(tree: PyTree, mesh: Mesh) -> PyTree:
    """Host arrays placed on the mesh, leading axis padded and split over `seed`.

    Every process passes the same values and keeps its own part.
    """
    return _place(pad(tree, mesh), NamedSharding(mesh, P(SEED)))


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Host arrays placed whole on every device of the mesh."""
    return _place(tree, NamedSharding(mesh, P()))


def _place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    def one(leaf: Any) -> jax.Array:
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda i: leaf[i])

    return jax.tree.map(one, tree)


def _number_from(name: str) -> int:
    text = os.environ.get(name, "")
    if not text.isdecimal():
        raise ValueError(
            f"the environment variable {name} is {text!r}; beside "
            "JAX_COORDINATOR_ADDRESS it must be a whole number"
        )
    return int(text)


def _cluster_of_several() -> bool:
    """Whether the environment names a cluster launch of more than one process."""
    counts = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "JOB_COMPLETIONS")
    if any(int(os.environ.get(name) or 1) > 1 for name in counts):
        return True
    return "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
