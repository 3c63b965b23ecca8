"""Where a name occurs in the leaves of a network, and the leaves seen from there."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from linconn_jax.align._nested import Parents, children
from linconn_jax.permutation.axis_layout import Sizes, Term, leaf_terms
from linconn_jax.permutation.spec import Axes, Stacked, layers
from linconn_jax.typing import Array, Float


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a leaf that has one axis for each factor of its labels.

    Attributes:
      leaf: number of the leaf.
      layer: number of the layer in a stack, or None.
      terms: one term of each axis.
      names: name of each factor, or None.
    """

    leaf: int
    layer: int | None
    terms: tuple[Term, ...]
    names: tuple[str | None, ...]

    def occurrences(self, name: str) -> list[int]:
        """The factors that carry a name."""
        return [i for i, x in enumerate(self.names) if x == name]

    def branches(self, name: str, parents: Parents) -> int:
        """How many factors carry a direct child of `name`."""
        return sum(len(self.occurrences(x)) for x in children(name, parents))

    def linear(self, name: str, parents: Parents) -> bool:
        """Whether `name` and what lies under it come one inside the other, each once."""
        return len(self.occurrences(name)) <= 1 and (
            self.branches(name, parents) <= 1
            and all(self.linear(x, parents) for x in children(name, parents))
        )

    def views(
        self, name: str, fixed: Sequence[str], free: Sequence[str]
    ) -> Iterator["View"]:
        """The piece seen from each occurrence of a name."""
        cuts = tuple(term.unnamed() for term in self.terms)
        for own in self.occurrences(name):  # each parent is there exactly once
            still, moving = (
                [self.names.index(x) for x in parents] for parents in (fixed, free)
            )
            yield View(self.layer, cuts, tuple(still), (*moving, own))


def pieces(
    axes: Sequence[Axes | Stacked],
    shapes: Sequence[tuple[int, ...] | None],
    sizes: Sizes,
) -> list[Piece]:
    """All pieces of all leaves that carry a name."""
    found = []
    for number, (one, shape) in enumerate(zip(axes, shapes, strict=True)):
        stacked = isinstance(one, Stacked)
        for layer, (labels, rest, _) in enumerate(layers("a leaf", one, shape or ())):
            for terms in itertools.product(*leaf_terms(labels, rest, sizes)):
                names = tuple(
                    factor.atom and factor.atom.name
                    for term in terms
                    for factor in term.factors
                )
                if any(names):
                    place = layer if stacked else None
                    found.append(Piece(number, place, terms, names))
    return found


@dataclasses.dataclass(frozen=True)
class View:
    """How to see a leaf as `[fixed, units, everything else]`.

    It knows places only, no names, so that layers of one shape share one program.

    Attributes:
      layer: number of the layer in a stack, or None.
      terms: one term of each axis.
      fixed: the factors of the parents that stay.
      units: the factors of the parents that are free, and of the name itself.
    """

    layer: int | None
    terms: tuple[Term, ...]
    fixed: tuple[int, ...]
    units: tuple[int, ...]

    def of(self, leaf: Array) -> Float[Array, "fixed units rest"]:
        """The leaf seen so, in float32."""
        part = (leaf if self.layer is None else leaf[self.layer]).astype(jnp.float32)
        for axis, term in reversed(list(enumerate(self.terms))):
            part = term.cut(part, axis)
        front = (*self.fixed, *self.units)
        part = jnp.moveaxis(part, front, range(len(front)))
        a, b = len(self.fixed), len(front)
        parts = part.shape[:a], part.shape[a:b], part.shape[b:]
        return part.reshape(*map(math.prod, parts))


@functools.partial(jax.jit, static_argnums=0)
def products(
    views: tuple[tuple[float, View], ...], reference: list[Array], other: list[Array]
) -> Float[Array, "fixed units units"]:
    """Weighted sum of the inner products of units, over the views of as many leaves."""
    return functools.reduce(
        jnp.add,
        (
            weight * _gram(view.of(a), view.of(b))
            for (weight, view), a, b in zip(views, reference, other, strict=True)
        ),
    )


def _gram(
    a: Float[Array, "fixed units rest"], b: Float[Array, "fixed units rest"]
) -> Float[Array, "fixed units units"]:
    if len(a) == 1:
        return jnp.dot(a[0], b[0].T, precision=jax.lax.Precision.HIGHEST)[None]
    return jnp.einsum("fir,fjr->fij", a, b, precision=jax.lax.Precision.HIGHEST)
