"""What is to be gathered of a leaf, as rows and columns of a matrix.

Moving a leaf is then one pass over memory, row by row, however many of its axes move. An
axis is gathered by one vector, the old place of each new one. Axes that depend on one
another (in attention the places of a head move differently in each head) are taken
together, from the first of them to the last, as one axis.
"""

import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.axis_layout import Sizes, Term, leaf_terms, names
from linconn_jax.permutation.labels import Axes, Stacked, Units
from linconn_jax.typing import Array, Int

BLOCK = 1 << 18
"""Numbers that are gathered at once on the host: as many as stay in a core's cache."""
LARGE = 1 << 20
"""Numbers from which on threads pay for their start."""

Indices = Mapping[str, Array]
Gather = tuple[int, int, Int[Array, " places"]]
"""(first, last, index): axes `first` to `last`, flattened, are gathered by `index`."""


@dataclasses.dataclass(frozen=True)
class Matrix:
    """The labelled axes of a leaf as `[rows, columns, tail]`.

    Columns are the last axis that moves, rows all axes before it. Row i of the moved
    leaf is row `rows[i]` of the old one (None: i), column j is column `columns[j]`.
    """

    shape: tuple[int, int, int]
    rows: Int[Array, " rows"] | None
    columns: Int[Array, " columns"]


def plan(
    axes: Axes, shape: tuple[int, ...], sizes: Sizes, indices: Indices
) -> Matrix | None:
    """What moves the units of a leaf of that shape; None if nothing does.

    Args:
      axes: labels of the leaf, which may have more axes in front.
      shape: of the whole leaf.
      sizes: of all names.
      indices: index arrays `[*parents, units]`, all on the host or all traced; names
        that it lacks stay.
    """
    shape = shape[len(shape) - axes.ndim :]
    todo = _gathers(axes, shape, sizes, indices)
    if not todo:
        return None
    *outer, (start, end, columns) = todo
    high = shape[:start]
    lengths = math.prod(high), len(columns), math.prod(shape[end + 1 :])
    if not outer:
        return Matrix(lengths, None, columns)
    xp = _numpy_of(columns)
    rows = xp.arange(lengths[0]).reshape(high)
    for first, last, index in outer:
        flat = rows.reshape(*high[:first], -1, *high[last + 1 :])
        rows = xp.take(flat, index, axis=first, mode="clip").reshape(high)
    return Matrix(lengths, rows.reshape(-1), columns)


def move_on_host(
    leaves: list[np.ndarray],
    axes: list[Axes | Stacked],
    sizes: Sizes,
    indices: Indices,
) -> list[np.ndarray]:
    """The leaves moved, in NumPy: block by block, large trees on all cores."""
    moved = [np.empty(leaf.shape, leaf.dtype) for leaf in leaves]
    blocks = [
        block
        for leaf, target, one in zip(leaves, moved, axes, strict=True)
        for block in _blocks(leaf, target, one, sizes, indices)
    ]
    if sum(leaf.size for leaf in leaves) < LARGE:
        for block in blocks:
            _fill(block)
    else:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_fill, blocks))
    return moved


def _blocks(
    leaf: np.ndarray,
    target: np.ndarray,
    axes: Axes | Stacked,
    sizes: Sizes,
    indices: Indices,
) -> Iterator[tuple]:
    """(source, rows, columns, target): the target is `source[rows][:, columns]`."""
    if isinstance(axes, Stacked):
        for index in np.ndindex(leaf.shape[: leaf.ndim - axes.ndim]):
            for old, new, one in zip(
                leaf[index], target[index], axes.axes, strict=True
            ):
                yield from _blocks(old, new, one, sizes, indices)
        return
    found = plan(axes, leaf.shape, sizes, indices)
    if found is None:
        target[...] = leaf
        return
    # Of what is strided or unaligned `np.take` makes a copy, whole, at every call.
    leaf = np.require(leaf, requirements=("C", "A")).reshape(-1, *found.shape)
    step = max(BLOCK // math.prod(found.shape[1:]), 1)
    for source, whole in zip(leaf, target.reshape(leaf.shape), strict=True):
        for start in range(0, len(source), step):
            part = slice(start, start + step)
            rows = part if found.rows is None else found.rows[part]
            yield source, rows, found.columns, whole[part]


def _fill(block: tuple) -> None:
    source, rows, columns, target = block
    # Indices are in bounds; of the modes without a buffer this is the fastest.
    if isinstance(rows, slice):
        source = source[rows]
    else:
        source = np.take(source, rows, axis=0, mode="wrap")
    np.take(source, columns, axis=1, out=target, mode="wrap")


def _gathers(
    axes: Axes, shape: tuple[int, ...], sizes: Sizes, indices: Indices
) -> list[Gather]:
    labels = dict(enumerate(axes.labels))
    moving = [k for k, x in labels.items() if indices.keys() & set(names(x))]
    # The index array of a name is at once the old places of an axis that is this name.
    plain = {
        k: indices[labels[k].name]
        for k in moving
        if isinstance(labels[k], Units) and not labels[k].under
    }
    if len(plain) == len(moving):
        return [(k, k, index) for k, index in plain.items()]
    leaf = _Leaf(axes, leaf_terms(axes, shape, sizes), shape, indices)
    old = {k: leaf.old_places(k) for k in moving}
    return [
        (first, last, plain[first])
        if first == last and first in plain
        else (first, last, leaf.flattened(old, first, last))
        for first, last in _spans(old)
    ]


def _spans(old: Mapping[int, Array]) -> list[tuple[int, int]]:
    """Ranges of axes that depend on one another, overlapping ones united."""
    reaches = [
        [axis, *(k for k, n in enumerate(places.shape) if n > 1)]
        for axis, places in old.items()
    ]
    spans: list[tuple[int, int]] = []
    for first, last in sorted((min(reach), max(reach)) for reach in reaches):
        if spans and first <= spans[-1][1]:
            first, last = spans[-1][0], max(last, spans.pop()[1])
        spans.append((first, last))
    return spans


@dataclasses.dataclass(frozen=True)
class _Leaf:
    axes: Axes
    terms: list[tuple[Term, ...]]
    shape: tuple[int, ...]
    indices: Indices

    def flattened(self, old: Mapping[int, Array], first: int, last: int) -> Array:
        """Old place of each new one of the axes from first to last, flattened."""
        flat: Any = 0
        for k in range(first, last + 1):
            stays = self._along(k, np.arange(self.shape[k]))
            flat = flat * self.shape[k] + old.get(k, stays)
        return flat.reshape(-1)

    def old_places(self, axis: int) -> Array:
        """Old place on one axis, an array that broadcasts to the shape of the leaf."""
        parts = [self._of_term(axis, term) for term in self.terms[axis]]
        if len(parts) == 1:
            return parts[0]
        xp = _numpy_of(*parts)
        beside = ((*p.shape[:axis], 1, *p.shape[axis + 1 :]) for p in parts)
        shape = list(np.broadcast_shapes(*beside))
        for i, part in enumerate(parts):
            shape[axis] = part.shape[axis]
            parts[i] = xp.broadcast_to(part, shape)
        places = np.concatenate([term.places for term in self.terms[axis]])
        return xp.take(xp.concatenate(parts, axis), np.argsort(places), axis=axis)

    def _of_term(self, axis: int, term: Term) -> Array:
        new = {
            factor.atom.name: self._along(axis, coordinate)
            for factor, coordinate in zip(term.factors, term.coordinates, strict=True)
            if factor.atom
        }
        place: Any = self._along(axis, np.full(len(term.places), term.offset))
        for factor, coordinate in zip(term.factors, term.coordinates, strict=True):
            old: Any = self._along(axis, coordinate)
            if factor.atom and factor.atom.name in self.indices:
                above = [
                    new[parent] if parent in new else self._beside(parent, axis)
                    for parent in factor.atom.under
                ]
                old = self.indices[factor.atom.name][(*above, old)]
            place = place + factor.stride * old
        return place

    def _beside(self, name: str, axis: int) -> np.ndarray:
        """Coordinate of a name along the other axis that it labels (there is one)."""
        labels = enumerate(self.axes.labels)
        home = next(k for k, x in labels if k != axis and name in names(x))
        found = np.empty(self.shape[home], int)
        for term in self.terms[home]:
            for factor, coordinate in zip(term.factors, term.coordinates, strict=True):
                if factor.atom and factor.atom.name == name:
                    found[term.places] = coordinate
        return self._along(home, found)

    def _along(self, axis: int, values: np.ndarray) -> np.ndarray:
        """Values for the places of one axis, to be broadcast to the leaf's shape."""
        host = _numpy_of(*self.indices.values()) is np
        shape = [-1 if k == axis else 1 for k in range(len(self.shape))]
        return values.astype(int if host else np.int32).reshape(shape)


def _numpy_of(*arrays: Array) -> Any:
    """NumPy if all are on the host, else `jax.numpy`."""
    return np if all(isinstance(x, np.ndarray) for x in arrays) else jnp
