"""The units of one axis name, taken out of a value that holds them."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation._read.named import Labels
from linconn_jax.permutation.axis_layout import Term, axis_terms, names
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Array, Float


@dataclasses.dataclass(frozen=True)
class Taking:
    """What is taken of a value.

    Attributes:
      place: rounds of the loops that the value lies in, whose axes are in front.
      terms: of each axis that remains the part that is taken, and its factors; None for
        an axis without units.
      others: units of other names beside those that are wanted. They come in another
        order in another network, so that the mean over them is taken.
    """

    place: tuple[Any, ...]
    terms: tuple[Term | None, ...]
    others: frozenset[str]

    def of(
        self, values: Array, chain: tuple[str, ...]
    ) -> Float[Array, "samples *parents units"]:
        """The units of the last of `chain` under those before it; all else is samples."""
        piece, shape, found = values[self.place], [], []
        for axis, (term, length) in enumerate(
            zip(self.terms, piece.shape, strict=True)
        ):
            if term is None:
                shape.append(length)
                found.append(None)
                continue
            if not np.array_equal(term.places, np.arange(length)):
                piece = jnp.take(piece, term.places, axis=axis)
            shape += term.shape
            found += [factor.atom and factor.atom.name for factor in term.factors]
        piece = piece.reshape(shape)
        if self.others:
            mixed = [i for i, name in enumerate(found) if name in self.others]
            piece = piece.mean(axis=tuple(mixed))
            found = [name for name in found if name not in self.others]
        last = [found.index(name) for name in chain]
        first = [i for i in range(len(found)) if i not in last]
        piece = jnp.transpose(piece, (*first, *last))
        return piece.reshape(-1, *piece.shape[len(first) :])


def takings(
    bound: BoundSpec,
    chain: tuple[str, ...],
    place: tuple[Any, ...],
    labels: Labels,
    shape: tuple[int, ...],
) -> Iterator[Taking]:
    """All parts of a value that hold each name of a chain once."""
    each = [
        axis_terms(label, n, bound.sizes) if any(names(label)) else (None,)
        for label, n in zip(labels, shape, strict=True)
    ]
    if not set(chain) <= {name for label in labels for name in names(label)}:
        return
    for terms in itertools.product(*each):
        factors = [f for term in terms if term is not None for f in term.factors]
        found = [f.atom.name for f in factors if f.atom is not None]
        if all(found.count(name) == 1 for name in chain):
            others = bound.parents.keys() & set(found).difference(chain)
            yield Taking(place, terms, frozenset(others))
