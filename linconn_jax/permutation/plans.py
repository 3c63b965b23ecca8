"""What is to be gathered of a leaf, as rows and columns of a matrix.

Moving a leaf is then one pass over memory, row by row, however many of its axes move.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.axis_layout import Sizes
from linconn_jax.permutation.gathers import gathers
from linconn_jax.permutation.labels import Axes, Stacked
from linconn_jax.typing import Array, Int


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["rows", "columns"],
    meta_fields=["ahead", "shape"],
)
@dataclasses.dataclass(frozen=True)
class Matrix:
    """A leaf, less the `ahead` axes in front, as `[rows, columns, tail]`.

    Columns are the last axis that moves, rows all axes before it. Row i of the moved
    leaf is row `rows[i]` of the old one (None: i), column j is column `columns[j]`.
    """

    ahead: int
    shape: tuple[int, int, int]
    rows: Int[Array, " rows"] | None
    columns: Int[Array, " columns"]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["layers"], meta_fields=["ahead"]
)
@dataclasses.dataclass(frozen=True)
class Layers:
    """A leaf whose axis number `ahead` is a stack, each layer with its own plan."""

    ahead: int
    layers: "list[Matrix | None]"


Plan = Matrix | Layers


def plan(
    axes: Axes | Stacked,
    shape: tuple[int, ...],
    sizes: Sizes,
    indices: Mapping[str, Array],
) -> Plan | None:
    """What moves the units of a leaf of that shape; None if nothing does.

    Args:
      axes: labels of the leaf, which may have more axes in front.
      shape: of the whole leaf.
      sizes: of all names.
      indices: index arrays `[*parents, units]`, all on the host or all traced; names
        that it lacks stay.
    """
    ahead = len(shape) - axes.ndim
    if isinstance(axes, Stacked):
        layers: Any = [
            plan(layer, shape[ahead + 1 :], sizes, indices) for layer in axes.axes
        ]
        return Layers(ahead, layers) if any(x is not None for x in layers) else None
    shape = shape[ahead:]
    todo = gathers(axes, shape, sizes, indices)
    if not todo:
        return None
    *outer, inner = todo
    high = shape[: inner.first]
    lengths = math.prod(high), len(inner.index), math.prod(shape[inner.last + 1 :])
    if not outer:
        return Matrix(ahead, lengths, None, inner.index)
    xp = np if isinstance(inner.index, np.ndarray) else jnp
    rows = xp.arange(lengths[0]).reshape(high)
    for one in outer:
        flat = rows.reshape(*high[: one.first], -1, *high[one.last + 1 :])
        rows = xp.take(flat, one.index, axis=one.first, mode="clip").reshape(high)
    return Matrix(ahead, lengths, rows.reshape(-1), inner.index)
