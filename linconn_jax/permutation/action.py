"""The action of permutations on trees of arrays.

`gathers` makes of the labels of a leaf the index vectors to gather by; here they are
applied, one gather for each labelled axis.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.algebra import from_indices
from linconn_jax.permutation.element import Permutation
from linconn_jax.permutation.frames import Framed, check_direction, frame_after
from linconn_jax.permutation.gathers import Gather, gathers
from linconn_jax.permutation.labels import Axes, Stacked
from linconn_jax.permutation.places import Sizes
from linconn_jax.permutation.spec import Spec, flatten, layout_of, parents
from linconn_jax.typing import Array, PyTree

BLOCK = 1 << 18
"""Elements that are gathered at once on the host: as many as stay in a core's cache."""


def permute(
    spec: Spec, permutation: Permutation | Mapping[str, Any], tree: PyTree
) -> PyTree:
    """Moves the units of `tree`, one gather for each labelled axis.

    Args:
      spec: tree of `Axes` and `Stacked` with the structure of `tree`.
      permutation: of this spec; or a plain `{axis name: index array}`, which is checked
        (`from_indices`) at each call.
      tree: variables, gradients, masks, momenta, batch statistics, or any of them
        stacked along leading axes; shapes, which stay as they are; or one of these with
        a frame (`Framed`). Leaves may be missing (None).

    Returns:
      A tree of the same structure, shapes, dtypes and shardings. Arrays of the host
      (NumPy) stay there.

    Raises:
      ValueError: the spec does not fit the tree, the permutation is of another spec, or
        it is applied the wrong way round or twice (see `frames`).
    """
    if isinstance(tree, Framed):
        target = frame_after(permutation, tree.frame)
        return Framed(permute(spec, permutation, tree.tree), target)
    entries, structure = flatten(spec, tree)
    found = layout_of(entries)
    if isinstance(permutation, Permutation):
        shapes = {name: found.shape(name) for name in found.parents}
        if any(leaf is None for _, leaf, _ in entries):
            absent = parents(spec).keys() - shapes.keys()
            permutation = permutation.without(absent)
        permutation.check(shapes, found.parents)
        check_direction(permutation, spec, tree)
    else:
        permutation = from_indices(spec, tree, permutation)
    moved = move(found.sizes, permutation.indices, entries)
    return jax.tree.unflatten(structure, moved)


def move(
    sizes: Sizes,
    indices: Mapping[str, Array],
    entries: list[tuple[str, Any, Axes | Stacked]],
) -> list[Any]:
    """Leaves of (path, leaf, axes) moved; names that `indices` lacks stay."""
    if any(isinstance(p, jax.core.Tracer) for p in indices.values()):
        indices = {
            name: jnp.asarray(p).astype(jnp.int32) for name, p in indices.items()
        }
    else:
        indices = {
            name: np.asarray(p, int)
            for name, p in jax.device_get(dict(indices)).items()
        }
    return [_move_leaf(leaf, axes, sizes, indices) for _, leaf, axes in entries]


def _move_leaf(
    leaf: Any, axes: Axes | Stacked, sizes: Sizes, indices: Mapping[str, Array]
) -> Any:
    if not axes.ndim or isinstance(leaf, jax.ShapeDtypeStruct) or not leaf.size:
        return leaf
    first = np.ndim(leaf) - axes.ndim
    if isinstance(axes, Stacked):
        ahead = (slice(None),) * first
        layers = [
            _move_leaf(leaf[(*ahead, i)], layer, sizes, indices)
            for i, layer in enumerate(axes.axes)
        ]
        xp = np if all(isinstance(x, np.ndarray) for x in layers) else jnp
        return _placed(xp.stack(layers, axis=first), leaf)
    todo = gathers(axes, leaf.shape[first:], sizes, indices)
    if not todo:
        return leaf
    if isinstance(leaf, np.ndarray) and isinstance(todo[0].index, np.ndarray):
        return _take_host(leaf, [g.after(first) for g in todo])
    spans = tuple((g.first + first, g.last + first) for g in todo)
    return _placed(_take(leaf, [g.index for g in todo], spans), leaf)


@functools.partial(jax.jit, static_argnums=2)
def _take(
    leaf: Array, indices: list[Array], spans: tuple[tuple[int, int], ...]
) -> Array:
    shape = leaf.shape
    for index, (first, last) in zip(indices, spans, strict=True):
        flat = leaf.reshape(*shape[:first], -1, *shape[last + 1 :])
        leaf = jnp.take(flat, index, axis=first, mode="clip").reshape(shape)
    return leaf


def _take_host(leaf: np.ndarray, todo: list[Gather]) -> np.ndarray:
    """Rows and columns in one pass: blocks of rows are gathered while in the cache."""
    *outer, inner = todo
    ahead = leaf.shape[: inner.first]
    rows = np.arange(int(np.prod(ahead))).reshape(ahead)
    for one in outer:
        flat = rows.reshape(*ahead[: one.first], -1, *ahead[one.last + 1 :])
        rows = np.take(flat, one.index, axis=one.first).reshape(ahead)
    rows = rows.reshape(-1)
    tail = leaf.shape[inner.last + 1 :]
    flat = leaf.reshape(len(rows), len(inner.index), *tail)
    moved = np.empty(flat.shape, leaf.dtype)
    step = max(BLOCK // max(flat[:1].size, 1), 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        source = flat.take(rows[part], axis=0) if outer else flat[part]
        # Indices are in bounds; of the modes without a buffer this is the faster.
        np.take(source, inner.index, axis=1, out=moved[part], mode="wrap")
    return moved.reshape(leaf.shape)


def _placed(moved: Array, leaf: Array) -> Array:
    """On the devices and with the sharding of the leaf it was made from."""
    if isinstance(leaf, jax.core.Tracer) or not isinstance(leaf, jax.Array):
        return moved
    if isinstance(moved, jax.core.Tracer) or moved.sharding == leaf.sharding:
        return moved
    return jax.device_put(moved, leaf.sharding)
