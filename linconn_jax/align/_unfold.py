"""Leaves of a network unfolded into a row for each unit of a name."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.align._nested import Parents, children
from linconn_jax.permutation import Piece
from linconn_jax.typing import Array, Float


def occurrences(piece: Piece, name: str) -> list[int]:
    """The factors of a piece that carry a name."""
    return [i for i, x in enumerate(piece.names) if x == name]


def branches(piece: Piece, name: str, parents: Parents) -> int:
    """How many factors of a piece carry a direct child of `name`."""
    return sum(len(occurrences(piece, x)) for x in children(name, parents))


def is_linear(piece: Piece, name: str, parents: Parents) -> bool:
    """Whether `name` and what lies under it come one inside the other, each once."""
    return len(occurrences(piece, name)) <= 1 and (
        branches(piece, name, parents) <= 1
        and all(is_linear(piece, x, parents) for x in children(name, parents))
    )


@dataclasses.dataclass(frozen=True)
class Unfolding:
    """How to unfold a leaf to `[fixed, units, everything else]`.

    It knows places only, no names, so that layers of one shape share one program.

    Attributes:
      layer: number of the layer in a stack, or None.
      axes: of each axis the first place that is read, and (size, stride) of each factor.
      fixed: numbers of the factors of the parents that stay.
      units: numbers of the factors of the parents that are free, and of the name itself.
    """

    layer: int | None
    axes: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    fixed: tuple[int, ...]
    units: tuple[int, ...]

    def of(self, leaf: Array) -> Float[Array, "fixed units rest"]:
        """The leaf unfolded, in float32."""
        part = (leaf if self.layer is None else leaf[self.layer]).astype(jnp.float32)
        for axis, (start, factors) in reversed(list(enumerate(self.axes))):
            part = _factored(part, axis, start, factors)
        front = (*self.fixed, *self.units)
        part = jnp.moveaxis(part, front, range(len(front)))
        a, b = len(self.fixed), len(front)
        parts = part.shape[:a], part.shape[a:b], part.shape[b:]
        return part.reshape(*map(math.prod, parts))


def unfoldings(
    piece: Piece, name: str, fixed: Sequence[str], free: Sequence[str]
) -> Iterator[Unfolding]:
    """One for each factor of the piece that carries the name."""
    axes = tuple(
        (term.offset, tuple((x.size, x.stride) for x in term.factors))
        for term in piece.terms
    )
    for own in occurrences(piece, name):  # each parent is there exactly once
        stay, move = ([piece.names.index(x) for x in some] for some in (fixed, free))
        yield Unfolding(piece.layer, axes, tuple(stay), (*move, own))


@functools.partial(jax.jit, static_argnums=0)
def products(
    weighted: tuple[tuple[float, Unfolding], ...],
    reference: list[Array],
    other: list[Array],
) -> Float[Array, "fixed units units"]:
    """Weighted sum of the inner products of units, over as many leaves unfolded."""
    return functools.reduce(
        jnp.add,
        (
            weight * _gram(unfolding.of(a), unfolding.of(b))
            for (weight, unfolding), a, b in zip(
                weighted, reference, other, strict=True
            )
        ),
    )


def _factored(array: Array, axis: int, start: int, factors: Any) -> Array:
    """The places `start + Σ stride · i` of an axis, with an axis for each factor."""
    shape = tuple(size for size, _ in factors)
    places = np.full(shape, start)
    for (_, stride), index in zip(factors, np.indices(shape, sparse=True), strict=True):
        places = places + stride * index
    places = places.reshape(-1)
    if not np.array_equal(places, np.arange(array.shape[axis])):
        if np.array_equal(places, np.arange(start, start + len(places))):
            array = jax.lax.slice_in_dim(array, start, start + len(places), axis=axis)
        else:
            array = jnp.take(array, places, axis=axis)
    return array.reshape(*array.shape[:axis], *shape, *array.shape[axis + 1 :])


def _gram(
    a: Float[Array, "fixed units rest"], b: Float[Array, "fixed units rest"]
) -> Float[Array, "fixed units units"]:
    if len(a) == 1:
        return jnp.dot(a[0], b[0].T, precision=jax.lax.Precision.HIGHEST)[None]
    return jnp.einsum("fir,fjr->fij", a, b, precision=jax.lax.Precision.HIGHEST)
