"""What is to be gathered of a leaf, as rows and columns of a matrix.

Moving a leaf is then one pass over memory, row by row, however many of its axes move. An
axis is gathered by one vector, the old place of each new one. Axes that depend on one
another (in attention the places of a head move differently in each head) are taken
together, from the first of them to the last, as one axis.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from linconn_jax import threads
from linconn_jax.permutation.axis_layout import Sizes, atoms, axis_terms, names
from linconn_jax.permutation.labels import Axes, Block, Label, Stacked, Units
from linconn_jax.typing import Array, Int

BLOCK = 1 << 18
"""Numbers that are gathered at once on the host: as many as stay in a core's cache."""
LARGE = 1 << 20
"""Numbers from which on threads pay for their start."""

Indices = Mapping[str, Array]


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
      indices: index arrays `[*parents, units]`, all on the host or all traced, of one
        dtype; names that it lacks stay.
    """
    reaches = sorted(_reaches(axes, sizes, indices), reverse=True)
    if not reaches:
        return None
    shape = shape[len(shape) - axes.ndim :]
    end, start = reaches[0]
    for last, first in reaches:
        if last >= start:
            start = min(start, first)
    labels = [label or n for label, n in zip(axes.labels, shape, strict=True)]
    lengths = [math.prod(x) for x in (shape[:start], shape[start : end + 1])]
    columns = old_places(labels[start : end + 1], lengths[1], sizes, indices)
    rows = None
    if reaches[-1][0] < start:
        rows = old_places(labels[:start], lengths[0], sizes, indices)
    return Matrix((*lengths, math.prod(shape[end + 1 :])), rows, columns)


def old_places(
    labels: Sequence[Label | int], length: int, sizes: Sizes, indices: Indices
) -> Int[Array, " places"]:
    """Old place of each new one along axes with these labels, flattened to one."""
    label = labels[0] if len(labels) == 1 else Block(*labels)
    if isinstance(label, Units) and not label.under:
        return indices[label.name]
    dtype = next(iter(indices.values())).dtype
    terms, parts = axis_terms(label, length, sizes), []
    for term in terms:
        old = list(np.indices(term.shape, dtype, sparse=True))
        both = zip(term.factors, old, strict=True)
        new = {factor.atom.name: i for factor, i in both if factor.atom}
        for i, (atom, *_) in enumerate(term.factors):
            if atom and atom.name in indices:
                # A parent that lies along another axis has one unit, else it were here.
                above = (new.get(parent, 0) for parent in atom.under)
                old[i] = indices[atom.name][(*above, old[i])]
        parts.append(term.at(old).reshape(-1))
    if len(parts) == 1:
        return parts[0]
    xp = np if all(isinstance(x, np.ndarray) for x in parts) else jnp
    places = np.concatenate([term.places for term in terms])
    return xp.concatenate(parts)[np.argsort(places)]


def _reaches(axes: Axes, sizes: Sizes, indices: Indices) -> Iterator[tuple[int, int]]:
    """(last, first) axis of what each axis that moves depends on, itself included."""
    home = {name: k for k, label in enumerate(axes.labels) for name in names(label)}
    for k, label in enumerate(axes.labels):
        moving = [x for x in atoms(label) if x.name in indices]
        above = [home[p] for x in moving for p in x.under if sizes[p] > 1]
        if moving:
            yield max([k, *above]), min([k, *above])


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
        threads.mapped(_fill, blocks)
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
