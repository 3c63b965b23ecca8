"""Leaves of a network unfolded into a row for each unit of a name."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.align._ascent import Parents, children
from linconn_jax.permutation import Piece
from linconn_jax.typing import Array, Float


def branches(piece: Piece, name: str, parents: Parents) -> int:
    """How many factors of a piece carry a direct child of `name`."""
    return sum(map(piece.names.count, children(name, parents)))


def is_linear(piece: Piece, name: str, parents: Parents) -> bool:
    """Whether `name` and what lies under it come one inside the other, each once."""
    return piece.names.count(name) <= 1 and (
        branches(piece, name, parents) <= 1
        and all(is_linear(piece, x, parents) for x in children(name, parents))
    )


@dataclasses.dataclass(frozen=True)
class Unfolding:
    """How to unfold a leaf to `[fixed, units, everything else]`.

    It knows places only, no names, so that layers of one shape share one program.

    Attributes:
      piece: the part of the leaf that is read, without its number and names.
      fixed: numbers of the factors of the parents that stay.
      units: numbers of the factors of the parents that are free, and of the name itself.
    """

    piece: Piece
    fixed: tuple[int, ...]
    units: tuple[int, ...]

    def of(self, leaf: Array) -> Float[Array, "fixed units rest"]:
        """The leaf unfolded, in float32."""
        layer, terms = self.piece.layer, self.piece.terms
        part = (leaf if layer is None else leaf[layer]).astype(jnp.float32)
        for axis, term in enumerate(terms):
            start, stop = term.offset, term.offset + len(term.places)
            if np.array_equal(term.places, np.arange(start, stop)):
                part = jax.lax.slice_in_dim(part, start, stop, axis=axis)
            else:
                part = jnp.take(part, term.places, axis=axis)
        part = part.reshape([n for term in terms for n in term.shape])
        front = (*self.fixed, *self.units)
        part = jnp.moveaxis(part, front, range(len(front)))
        a, b = len(self.fixed), len(front)
        parts = part.shape[:a], part.shape[a:b], part.shape[b:]
        return part.reshape(*map(math.prod, parts))


def unfoldings(
    piece: Piece, name: str, fixed: Sequence[str], free: Sequence[str]
) -> Iterator[Unfolding]:
    """One for each factor of the piece that carries the name."""
    terms = tuple(
        dataclasses.replace(x, factors=tuple(y._replace(atom=None) for y in x.factors))
        for x in piece.terms
    )
    nameless = dataclasses.replace(piece, leaf=0, terms=terms)
    for own in [i for i, x in enumerate(piece.names) if x == name]:
        # Each parent is there exactly once.
        stay, move = (tuple(map(piece.names.index, some)) for some in (fixed, free))
        yield Unfolding(nameless, stay, (*move, own))


@functools.partial(jax.jit, static_argnums=0)
def products(
    weighted: tuple[tuple[float, Unfolding], ...],
    reference: list[Array],
    other: list[Array],
) -> Float[Array, "fixed units units"]:
    """Weighted sum of the inner products of units, over as many leaves unfolded."""
    leaves = zip(weighted, reference, other, strict=True)
    grams = [weight * _gram(how.of(a), how.of(b)) for (weight, how), a, b in leaves]
    return functools.reduce(jnp.add, grams)


def _gram(
    a: Float[Array, "fixed units rest"], b: Float[Array, "fixed units rest"]
) -> Float[Array, "fixed units units"]:
    if len(a) == 1:
        return jnp.dot(a[0], b[0].T, precision=jax.lax.Precision.HIGHEST)[None]
    return jnp.einsum("fir,fjr->fij", a, b, precision=jax.lax.Precision.HIGHEST)
