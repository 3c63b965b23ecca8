"""Where the units of a label lie along an axis, and the pieces that labels make.

A label multiplied out is a sum of products: `2×(a+b)` is the term `2×a` and the term
`2×b`. A term lies at the places `offset + Σ stride · coordinate` of its axis. One term of
each axis makes a piece of a leaf: an array with one axis for each factor.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.labels import (
    Axes,
    Block,
    Concat,
    Fixed,
    Label,
    Part,
    Units,
)
from linconn_jax.typing import Array, Int

Sizes = Mapping[str, int]
Atom = Units | Fixed | None


class Factor(NamedTuple):
    """One coordinate of a term: its name, how far it runs, and its step on the axis."""

    atom: Atom
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
    def coordinates(self) -> Int[np.ndarray, "factors places"]:
        """Coordinates of all places of the term, row-major."""
        return np.indices(self.shape).reshape(len(self.shape), math.prod(self.shape))

    @functools.cached_property
    def places(self) -> Int[np.ndarray, " places"]:
        """Where on the axis the places of the term lie."""
        strides = np.array([factor.stride for factor in self.factors], int)
        return self.offset + strides @ self.coordinates

    def unnamed(self) -> "Term":
        """The same places without their names."""
        return Term(self.offset, tuple(f._replace(atom=None) for f in self.factors))

    def cut(self, array: Array, axis: int) -> Array:
        """The term's places of one axis, with an axis for each factor in its stead."""
        start, count = self.offset, len(self.places)
        if not np.array_equal(self.places, np.arange(start, start + count)):
            xp = np if isinstance(array, np.ndarray) else jnp
            part = xp.take(array, self.places, axis=axis)
        elif count < array.shape[axis]:
            part = array[(slice(None),) * axis + (slice(start, start + count),)]
        else:
            part = array
        return part.reshape(*part.shape[:axis], *self.shape, *part.shape[axis + 1 :])


def length(label: Label | Part, sizes: Sizes) -> int:
    """Length of an axis with this label."""
    if isinstance(label, int):
        return label
    if isinstance(label, Block):
        return math.prod(length(factor, sizes) for factor in label)
    if isinstance(label, Concat):
        return sum(length(part, sizes) for part in label)
    return sizes[label.name]


def terms(label: Label | Part, axis_length: int, sizes: Sizes) -> tuple[Term, ...]:
    """The label multiplied out, its terms in the order of their offsets."""
    if label is None or isinstance(label, int):
        return (Term(0, (Factor(None, axis_length, 1),)),)
    if isinstance(label, Units | Fixed):
        return (Term(0, (Factor(label, axis_length, 1),)),)
    lengths = [length(part, sizes) for part in label]
    inner = [terms(x, n, sizes) for x, n in zip(label, lengths, strict=True)]
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


@functools.lru_cache(maxsize=4096)
def _terms(label: Label, axis_length: int, sizes: tuple) -> tuple[Term, ...]:
    return terms(label, axis_length, dict(sizes))


def leaf_terms(
    axes: Axes, shape: tuple[int, ...], sizes: Sizes
) -> list[tuple[Term, ...]]:
    """The terms of each labelled axis of a leaf; `shape` is that of those axes."""
    return [
        _terms(label, n, tuple((x, sizes[x]) for x in sorted(set(names(label)))))
        for label, n in zip(axes.labels, shape, strict=True)
    ]


def atoms(label: Label | Part) -> Iterator[Units | Fixed]:
    """The named parts of a label, as often as they occur."""
    if isinstance(label, Units | Fixed):
        yield label
    elif isinstance(label, Block | Concat):
        for part in label:
            yield from atoms(part)


def names(label: Label | Part) -> Iterator[str]:
    """Names of `atoms(label)`."""
    return (atom.name for atom in atoms(label))
