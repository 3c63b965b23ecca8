"""Where the units of a label lie along an axis, and the pieces of a leaf.

A label multiplied out is a sum of products: `2×(a+b)` is the term `2×a` and the term
`2×b`. A term lies at the places `offset + Σ stride · coordinate` of its axis. One term of
each axis makes a piece of a leaf: an array with one axis for each factor.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from linconn_jax.permutation.labels import (
    Axes,
    Block,
    Concat,
    Fixed,
    Label,
    Part,
    Stacked,
    Units,
)
from linconn_jax.typing import Array, Int

Sizes = Mapping[str, int]
Atom = Units | Fixed


class Factor(NamedTuple):
    """One coordinate of a term: its name, how far it runs, and its step on the axis."""

    atom: Atom | None
    size: int
    stride: int


@dataclasses.dataclass(frozen=True)
class Term:
    """A product within a label, at `offset + Σ stride · coordinate` of the axis."""

    offset: int
    factors: tuple[Factor, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each factor."""
        return tuple(factor.size for factor in self.factors)

    @functools.cached_property
    def places(self) -> Int[np.ndarray, " places"]:
        """Where on the axis the places of the term lie, row-major."""
        found = np.reshape(self.at(np.indices(self.shape, sparse=True)), -1)
        found.flags.writeable = False
        return found

    def at(self, coordinates: Iterable[Array]) -> Array | int:
        """The places with these coordinates, an array for each factor if it has any."""
        place: Any = self.offset
        for factor, coordinate in zip(self.factors, coordinates, strict=True):
            place = place + factor.stride * coordinate
        return place


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a leaf: one term of each of its labelled axes.

    Attributes:
      leaf: number of the leaf.
      layer: number of the layer in a stack, or None.
      terms: one term of each axis (of a stack: of each axis of a layer).
    """

    leaf: int
    layer: int | None
    terms: tuple[Term, ...]

    @functools.cached_property
    def names(self) -> tuple[str | None, ...]:
        """Name of each factor, in order; None for places that stay."""
        factors = (factor for term in self.terms for factor in term.factors)
        return tuple(factor.atom and factor.atom.name for factor in factors)


def length(label: Label | Part, sizes: Sizes) -> int:
    """Length of an axis with this label."""
    if isinstance(label, int):
        return label
    if isinstance(label, Block):
        return math.prod(length(part, sizes) for part in label)
    if isinstance(label, Concat):
        return sum(length(part, sizes) for part in label)
    return sizes[label.name]


def leaf_terms(
    axes: Axes, shape: tuple[int, ...], sizes: Sizes
) -> list[tuple[Term, ...]]:
    """The terms of each labelled axis of a leaf; `shape` is that of those axes."""
    both = zip(axes.labels, shape, strict=True)
    return [axis_terms(label, n, sizes) for label, n in both]


def axis_terms(label: Label | Part, axis_length: int, sizes: Sizes) -> tuple[Term, ...]:
    """The label multiplied out, its terms in the order of their offsets."""
    known = tuple((x, sizes[x]) for x in sorted(set(names(label))))
    return _terms(label, axis_length, known)


@functools.lru_cache(maxsize=4096)
def _terms(
    label: Label | Part, axis_length: int, known: tuple[tuple[str, int], ...]
) -> tuple[Term, ...]:
    if not isinstance(label, Block | Concat):
        atom = label if isinstance(label, Atom) else None
        return (Term(0, (Factor(atom, axis_length, 1),)),)
    lengths = [length(part, dict(known)) for part in label]
    inner = [_terms(x, n, known) for x, n in zip(label, lengths, strict=True)]
    if isinstance(label, Concat):
        starts = itertools.accumulate(lengths[:-1], initial=0)
        return tuple(
            Term(start + term.offset, term.factors)
            for start, part in zip(starts, inner, strict=True)
            for term in part
        )
    strides = [math.prod(lengths[i + 1 :]) for i in range(len(lengths))]
    return tuple(_product(choice, strides) for choice in itertools.product(*inner))


def _product(choice: tuple[Term, ...], strides: list[int]) -> Term:
    offset = sum(term.offset * step for term, step in zip(choice, strides, strict=True))
    factors = [
        Factor(factor.atom, factor.size, factor.stride * step)
        for term, step in zip(choice, strides, strict=True)
        for factor in term.factors
    ]
    return Term(offset, tuple(factors))


def atoms(label: Label | Part) -> Iterator[Atom]:
    """The named parts of a label, as often as they occur."""
    if isinstance(label, Atom):
        yield label
    elif isinstance(label, Block | Concat):
        for part in label:
            yield from atoms(part)


def names(label: Label | Part) -> Iterator[str]:
    """Names of `atoms(label)`."""
    return (atom.name for atom in atoms(label))


@functools.lru_cache(maxsize=4096)
def names_of(axes: Axes | Stacked) -> frozenset[str]:
    """All names in the labels of a leaf."""
    layers = axes.axes if isinstance(axes, Stacked) else (axes,)
    return frozenset(x for one in layers for label in one.labels for x in names(label))
