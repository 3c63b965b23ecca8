"""Trees of stacked arrays as one table of 32-bit words, one row for each seed.

What a checkpoint costs is mostly its number of arrays, so a tree of any number of leaves
is stored as one array `[rows, words]`, and a `Slot` for each leaf says what is where.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import UInt32

from linconn_jax.trajectory.checksum import checksum, checksum_on_host
from linconn_jax.typing import Array, PyTree

_STORABLE = frozenset(
    ["bool", "float16", "bfloat16", "float32", "float64"]
    + [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
)
Layout = dict[str, tuple["Slot", ...]]
"""Slots of each tree of a checkpoint, by name."""

_HOST_BYTES = 2**31
"""State of one device above which it is packed on the host, to spare device memory."""


@dataclasses.dataclass(frozen=True)
class Slot:
    """One leaf: keys that lead to it, dtype, one seed's shape, and whether it is stacked.

    A leaf that is not stacked is a scalar shared by all seeds, repeated in every row.
    """

    path: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    stacked: bool = True

    @property
    def words(self) -> int:
        """Words that the leaf takes in each row."""
        return math.ceil(math.prod(self.shape) * jnp.dtype(self.dtype).itemsize / 4)

    def to_json(self) -> list[Any]:
        """As lists, strings, numbers and booleans."""
        return [list(self.path), self.dtype, list(self.shape), self.stacked]

    @staticmethod
    def from_json(json: Sequence[Any]) -> "Slot":
        """The inverse of `to_json`."""
        path, dtype, shape, stacked = json
        return Slot(tuple(path), dtype, tuple(shape), stacked)


def describe(tree: PyTree, rows: int, what: str) -> tuple[Slot, ...]:
    """A slot for each leaf of `tree`.

    Args:
      tree: arrays with a leading axis of length `rows`, or scalars.
      rows: number of seeds, padding included.
      what: name of the tree for error messages.

    Raises:
      ValueError: a leaf is neither stacked nor a scalar, or has a dtype that cannot be
        stored exactly.
    """
    slots = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        shape, dtype = np.shape(leaf), _dtype(leaf)
        name = "/".join((what, *keys(path)))
        if shape and shape[0] != rows:
            raise ValueError(
                f"{name} has shape {shape}; it must be a scalar, or stacked over the "
                f"seeds with a leading axis of {rows} as variables have"
            )
        if dtype not in _STORABLE:
            raise ValueError(
                f"{name} has dtype {dtype}, which cannot be stored; convert it "
                "(jax.random.key_data for keys, an array for other objects)"
            )
        if jax.dtypes.canonicalize_dtype(dtype) != jnp.dtype(dtype):
            raise ValueError(
                f"{name} has dtype {dtype}, which JAX would round to "
                f"{jax.dtypes.canonicalize_dtype(dtype)}; give it that dtype, or set "
                "jax_enable_x64"
            )
        slots.append(Slot(keys(path), dtype, tuple(shape[1:]), stacked=bool(shape)))
    return tuple(slots)


def keys(path: tuple) -> tuple[str, ...]:
    """The names along a key path of `jax.tree_util`."""
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def snapshot(
    parts: dict[str, PyTree],
    layout: Layout,
    rows: int,
    small: PyTree,
) -> tuple[dict[str, Array | np.ndarray], dict[str, Array | np.ndarray], PyTree]:
    """Copies of the parts as words, their checksums, and a copy of `small`.

    The copies are dispatched and not waited for, and stay whatever happens to the
    originals (donated or overwritten). Words are split over devices as the originals
    are; checksums and `small` are whole on every device. A state too large to be held
    twice on its device is copied to the host instead, which is waited for.

    Args:
      parts: trees by name.
      layout: from `describe`, by name.
      rows: number of seeds, padding included.
      small: tree of small arrays.
    """
    leaves = {name: tuple(jax.tree.leaves(tree)) for name, tree in parts.items()}
    if is_packed_on_host(_bytes_on_one_device(leaves)):
        words = {
            name: _pack_on_host(leaves[name], layout[name], rows) for name in parts
        }
        sums = {name: checksum_on_host(table) for name, table in words.items()}
        return words, sums, jax.tree.map(np.array, small)
    shardings = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(parts)]
    named = [s for s in shardings if isinstance(s, NamedSharding)]
    static = tuple(layout.items())
    return _program(static, rows, named[0] if named else None)(leaves, small)


def is_packed_on_host(size: int) -> bool:
    """Whether of a state of so many bytes on one device the copy is made on the host."""
    return jax.process_count() == 1 and size > _HOST_BYTES


def unpack(
    words: UInt32[np.ndarray, "rows words"], slots: Sequence[Slot]
) -> list[np.ndarray]:
    """Leaves `[rows, *shape]` (or `[]` for shared scalars) of a table of words."""
    leaves, start = [], 0
    for slot in slots:
        block = np.ascontiguousarray(words[:, start : start + slot.words])
        start += slot.words
        dtype, shape = jnp.dtype(slot.dtype), (words.shape[0], *slot.shape)
        if slot.words == 0:
            leaf = np.zeros(shape, dtype)
        else:
            leaf = block.view(dtype)[:, : math.prod(slot.shape)].reshape(shape)
        leaves.append(leaf if slot.stacked else leaf[0, ...])
    return leaves


def nest(slots: Sequence[Slot], leaves: Sequence[Any]) -> PyTree:
    """Nested dicts with each leaf at the path of its slot; a leaf alone as it is."""
    if len(slots) == 1 and not slots[0].path:
        return leaves[0]
    tree: dict[str, Any] = {}
    for slot, leaf in zip(slots, leaves, strict=True):
        branch = tree
        for key in slot.path[:-1]:
            branch = branch.setdefault(key, {})
        branch[slot.path[-1]] = leaf
    return tree


@functools.lru_cache(maxsize=16)
def _program(layout: tuple, rows: int, split: NamedSharding | None) -> Any:
    """The compiled part of `snapshot` for one layout and sharding."""

    def program(leaves: dict[str, tuple], small: PyTree) -> tuple:
        words = {name: _pack(leaves[name], slots, rows) for name, slots in layout}
        sums = {name: checksum(table) for name, table in words.items()}
        return words, sums, small  # buffers of their own, even where nothing changes

    if split is None:
        return jax.jit(program)
    whole = NamedSharding(split.mesh, P())
    by_row = NamedSharding(split.mesh, P(*split.spec[:1]))
    return jax.jit(program, out_shardings=(by_row, whole, whole))


def _pack(leaves: Sequence[Any], slots: Sequence[Slot], rows: int) -> Array:
    tables = [jnp.zeros((rows, 0), jnp.uint32)]
    for leaf, slot in zip(leaves, slots, strict=True):
        table = jnp.broadcast_to(leaf, (rows, *slot.shape)).reshape(rows, -1)
        if slot.dtype == "bool":
            table = table.astype(jnp.uint8)
        per_word = 4 // table.dtype.itemsize
        if per_word > 1:
            table = jnp.pad(table, ((0, 0), (0, -table.shape[1] % per_word)))
            table = table.reshape(rows, -1, per_word)
        table = jax.lax.bitcast_convert_type(table, jnp.uint32)
        tables.append(table.reshape(rows, slot.words))
    return jnp.concatenate(tables, axis=1)


def _pack_on_host(
    leaves: Sequence[Any], slots: Sequence[Slot], rows: int
) -> np.ndarray:
    words = np.zeros((rows, sum(slot.words for slot in slots)), np.uint32)
    start = 0
    for leaf, slot in zip(leaves, slots, strict=True):
        table = np.broadcast_to(np.asarray(leaf), (rows, *slot.shape)).reshape(rows, -1)
        content = np.ascontiguousarray(table).view(np.uint8)
        block = np.zeros((rows, 4 * slot.words), np.uint8)
        block[:, : content.shape[1]] = content
        words[:, start : start + slot.words] = block.view(np.uint32)
        start += slot.words
    return words


def _bytes_on_one_device(tree: PyTree) -> int:
    total = 0
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array):
            total += max(shard.data.nbytes for shard in leaf.addressable_shards)
    return total


def _dtype(leaf: Any) -> str:
    return str(leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype)
