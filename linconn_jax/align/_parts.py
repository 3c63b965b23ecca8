"""Leaves as arrays of one axis for each factor, and the inner products of their units."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Set

import numpy as np

from linconn_jax.align._families import Parents, children
from linconn_jax.permutation import Permutation, Piece
from linconn_jax.typing import Float

FEW = 32
"""Up to so many slices in front of the units are multiplied one after the other; more are
put into another order first, which costs a pass over memory."""


@dataclasses.dataclass(frozen=True)
class Use:
    """A factor of a part whose units are compared: along which axes, and how it counts.

    Attributes:
      part: number of the part.
      name: of the factor.
      axes: of its parents, outermost first, and its own.
      weight: a part in which b children of the name meet is the sum of what each of them
        could make of it, minus b - 1 times what it is now: exact for b ≤ 1.
    """

    part: int
    name: str
    axes: tuple[int, ...]
    weight: int


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of a leaf as an array with one axis for each factor.

    Attributes:
      piece: where it lies in the leaf.
      parents: of all names that are permuted.
    """

    piece: Piece
    parents: Parents

    @property
    def names(self) -> tuple[str | None, ...]:
        """Name of each axis; None for axes along which nothing moves."""
        return self.piece.names

    def of(self, leaf: np.ndarray) -> Float[np.ndarray, "*factors"]:
        """The part of a leaf."""
        layer, terms = self.piece.layer, self.piece.terms
        found = leaf if layer is None else leaf[layer]
        for axis, term in enumerate(terms):
            places, whole = term.places, found.shape[axis]
            if not np.array_equal(places, np.arange(whole)):
                found = np.take(found, places, axis=axis)
        shape = [n for term in terms for n in term.shape]
        return np.ascontiguousarray(found.reshape(shape))

    def uses(self, number: int) -> Iterator[Use]:
        """What its axes tell about units, as the part of that number."""
        for axis, name in enumerate(self.names):
            if name not in self.parents:
                continue
            # Each parent is there exactly once.
            above = [self.names.index(x) for x in self.parents[name]]
            inner = children(name, self.parents)
            weight = 1 - sum(map(self.names.count, inner))
            if weight:
                yield Use(number, name, (*above, axis), weight)

    def is_linear(self, name: str) -> bool:
        """Whether `name` and what lies under it come one inside the other, each once."""
        below = children(name, self.parents)
        return self.names.count(name) <= 1 and (
            sum(map(self.names.count, below)) <= 1 and all(map(self.is_linear, below))
        )

    def moves(self, names: Set[str]) -> list[int]:
        """The axes that carry one of the names."""
        return [axis for axis, name in enumerate(self.names) if name in names]

    @functools.cached_property
    def is_simple(self) -> bool:
        """Whether at most two axes move, each by itself."""
        names = [name for name in self.names if name in self.parents]
        alone = not any(self.parents[name] for name in names)
        return alone and len(names) == len(set(names)) <= 2

    @functools.cached_property
    def _axes(self) -> tuple[int, ...]:
        """The axes that can move."""
        return tuple(i for i, x in enumerate(self.names) if x in self.parents)

    def other(self, axis: int) -> int | None:
        """The axis of a simple part that moves beside `axis`, if there is one."""
        return next((i for i in self._axes if i != axis), None)

    def rows(self, array: np.ndarray, axis: int) -> Float[np.ndarray, "m rest n"]:
        """A simple part with `axis` first and the other one that moves last."""
        last = self.other(axis)
        rest = [i for i in range(array.ndim) if i not in (axis, last)]
        order = (axis, *rest) if last is None else (axis, *rest, last)
        n = 1 if last is None else array.shape[last]
        shape = array.shape[axis], -1 if array.size else 0, n
        return np.ascontiguousarray(array.transpose(order)).reshape(shape)

    def moved(self, array: np.ndarray, to: Permutation) -> np.ndarray:
        """The part of a network whose units a permutation has moved."""
        axes = [axis for axis, name in enumerate(self.names) if name in self.parents]
        if all(not self.parents[self.names[axis]] for axis in axes):
            for axis in axes:
                array = np.take(array, to[self.names[axis]], axis=axis)
            return array
        new: list[np.ndarray] = list(np.indices(array.shape, sparse=True))
        places, old = dict(zip(self.names, new, strict=True)), list(new)
        for axis in axes:
            name = self.names[axis]
            above = (places[x] for x in self.parents[name])
            old[axis] = to[name][(*above, new[axis])]
        return array[tuple(old)]


def gram(
    a: Float[np.ndarray, "..."],
    b: Float[np.ndarray, "..."],
    axes: tuple[int, ...],
) -> Float[np.ndarray, "units others"]:
    """Inner products of all units along `axes`, over all other axes.

    The two may have other numbers of units.
    """
    start, stop = axes[0], axes[-1] + 1
    if axes != tuple(range(start, stop)):
        rest = [i for i in range(a.ndim) if i not in axes]
        a, b = (x.transpose(*axes, *rest) for x in (a, b))
        start, stop = 0, len(axes)
    before, after = math.prod(a.shape[:start]), math.prod(a.shape[stop:])
    a, b = (x.reshape(before, math.prod(x.shape[start:stop]), after) for x in (a, b))
    if after == 1:
        return a[..., 0].T @ b[..., 0]
    if before > FEW:
        a, b = (x.swapaxes(0, 1).reshape(1, x.shape[1], -1) for x in (a, b))
    found = a[0] @ b[0].T
    for x, y in itertools.islice(zip(a, b, strict=True), 1, None):
        found += x @ y.T
    return found
