"""Small functions on pytrees of arrays, used by every layer above."""

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.typing import Array, Float, Int, PyTree


def stack(trees: Sequence[PyTree]) -> PyTree:
    """Stacks trees along a new leading axis, on the device.

    NumPy leaves of 64 bits, which JAX would cut to 32, are stacked on the host.

    Raises:
      ValueError: there are none, or they differ in structure or in a leaf's shape.
    """
    if not trees:
        raise ValueError("there are no trees to stack; give at least one")
    first, structure = jax.tree_util.tree_flatten_with_path(trees[0])
    for i, tree in enumerate(trees):
        if jax.tree.structure(tree) != structure:
            raise ValueError(
                f"tree {i} to be stacked has the structure {jax.tree.structure(tree)}, "
                f"tree 0 has {structure}; all must be of one architecture"
            )
        for (path, a), b in zip(first, jax.tree.leaves(tree), strict=True):
            if np.shape(a) != np.shape(b):
                raise ValueError(
                    f"leaf {path_name(path)} has shape {np.shape(b)} in tree {i} to be "
                    f"stacked and {np.shape(a)} in tree 0; all must be of one "
                    "architecture and width"
                )
    return jax.tree.map(lambda *leaves: _stacked(leaves), *trees)


def _stacked(leaves: Sequence[Any]) -> Array:
    cut = all(
        isinstance(leaf, np.ndarray | np.generic)
        and jax.dtypes.canonicalize_dtype(leaf.dtype) != leaf.dtype
        for leaf in leaves
    )
    return np.stack(leaves) if cut else jnp.stack(leaves)


def take(tree: PyTree, index: int | Sequence[int] | Int[Array, "..."]) -> PyTree:
    """Indexes the leading axis of every leaf: an int drops it, a sequence keeps it.

    Raises:
      ValueError: an index is no integer, or outside of the axis (which JAX would not
        notice).
    """
    index = np.asarray(index, None if np.size(index) else int)
    if index.dtype.kind not in "iu":
        raise ValueError(f"index {index} has dtype {index.dtype}; it must be integers")
    size = leading_size(tree)
    if np.size(index) and not (-size <= np.min(index) and np.max(index) < size):
        raise ValueError(f"index {index} is outside of a leading axis of length {size}")
    return jax.tree.map(lambda leaf: leaf[index], tree)


def leading_size(tree: PyTree) -> int:
    """Length of the leading axis, which all leaves must share.

    Raises:
      ValueError: the tree has no leaves, or leaves disagree.
    """
    found: dict[int | None, str] = {}  # the first leaf of each size
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        size = np.shape(leaf)[0] if np.ndim(leaf) else None
        found.setdefault(size, path_name(path))
    if len(found) != 1 or None in found:
        lengths = ", ".join(f"{size} in {leaf}" for size, leaf in found.items())
        raise ValueError(
            "every leaf must share one leading axis (networks stacked along axis 0, "
            f"see trees.stack); its lengths are: {lengths or 'none, there is no leaf'}"
        )
    return next(iter(found))


def combine(coords: Float[Array, " k"], vertices: PyTree) -> PyTree:
    """The point `sum_i coords[i] * vertices[i]` of the affine span of `vertices`.

    Args:
      coords: barycentric coordinates, one per vertex.
      vertices: tree whose leaves have a leading axis of length k. Leaves that are no
        numbers with a fraction (counters, flags) are those of the vertex with the
        largest coordinate, so that each vertex is among the points as it is. Leaves of
        less than 32 bits are summed in float32 and rounded once.

    Raises:
      ValueError: there are more or fewer coordinates than vertices.
    """
    if (k := leading_size(vertices)) != len(coords):
        raise ValueError(f"there are {len(coords)} coordinates for {k} vertices")

    def one(leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            if isinstance(leaf, np.ndarray) and not isinstance(coords, jax.core.Tracer):
                return leaf[int(np.argmax(coords)), ...]  # with all its digits
            return jnp.asarray(leaf)[jnp.argmax(coords), ...]
        leaf = jnp.asarray(leaf)
        # Term by term: one fused loop, four times the speed of a reduction here. A
        # network with coordinate 0 is not there, even if it is not finite.
        dtype = leaf.dtype if leaf.dtype.itemsize >= 4 else jnp.float32
        weights = coords.astype(dtype)
        terms = [
            jnp.where(w == 0, 0, w * x)
            for w, x in zip(weights, leaf.astype(dtype), strict=True)
        ]
        return functools.reduce(jnp.add, terms).astype(leaf.dtype)

    return jax.tree.map(one, vertices)


def where(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    """Leaf-wise `jnp.where` with one scalar condition for the whole tree."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def all_finite(tree: PyTree) -> Array:
    """Whether every element of every leaf is finite, as a scalar bool array."""
    finite = (jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree))
    return functools.reduce(jnp.logical_and, finite, jnp.array(True))


def size(tree: PyTree) -> int:
    """Number of elements in all leaves."""
    return sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(tree))


def path_name(path: tuple) -> str:
    """`params/dense_0/kernel` for a key path of `jax.tree_util`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def sha256(tree: PyTree) -> str:
    """Hex digest of the paths, dtypes, shapes and bytes of all leaves."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        # NumPy writes the float8s of JAX alike.
        dtype = array.dtype.name if array.dtype.kind == "V" else array.dtype.str
        digest.update(f"{path_name(path)} {dtype} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
