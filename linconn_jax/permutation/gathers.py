"""Index vectors that gather the old places of a leaf into the new ones.

An axis is gathered by one vector, the old place of each new one. Axes that depend on one
another (in attention the places of a head move differently in each head) are taken
together, from the first of them to the last, as one axis.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.axis_layout import Sizes, Term, leaf_terms, names
from linconn_jax.permutation.labels import Axes, Label, Units
from linconn_jax.typing import Array, Int


class Gather(NamedTuple):
    """Axes `first` to `last`, flattened, are gathered by `index`."""

    first: int
    last: int
    index: Int[Array, " places"]


def gathers(
    axes: Axes, shape: tuple[int, ...], sizes: Sizes, indices: Mapping[str, Array]
) -> list[Gather]:
    """What moves the units of a leaf; names that `indices` lacks stay.

    Args:
      axes: labels of the leaf.
      shape: of its labelled axes.
      sizes: of all names.
      indices: index arrays `[*parents, units]`, all on the host or all traced.
    """
    moving = {
        k: label
        for k, label in enumerate(axes.labels)
        if any(x in indices for x in names(label))
    }
    if all(map(_is_plain, moving.values())):
        return [Gather(k, k, indices[label.name]) for k, label in moving.items()]
    leaf = _Leaf(axes.labels, leaf_terms(axes, shape, sizes), shape, indices)
    return [
        Gather(first, last, leaf.old_places(first, last))
        for first, last in _spans([leaf.reach(k) for k in moving])
    ]


def _is_plain(label: Label) -> bool:
    """Whether the index array of a name is at once the old places of its axis."""
    return isinstance(label, Units) and not label.under


def _spans(reaches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of axes with overlapping ones united."""
    spans: list[tuple[int, int]] = []
    for first, last in sorted(reaches):
        if spans and first <= spans[-1][1]:
            first, last = spans[-1][0], max(last, spans.pop()[1])
        spans.append((first, last))
    return spans


@dataclasses.dataclass(frozen=True)
class _Leaf:
    labels: tuple[Label, ...]
    terms: list[tuple[Term, ...]]
    shape: tuple[int, ...]
    indices: Mapping[str, Array]

    def reach(self, axis: int) -> tuple[int, int]:
        """First and last of the axes on which the places of an axis depend."""
        among = [axis]
        for term in self.terms[axis]:
            here = {factor.atom.name for factor in term.factors if factor.atom}
            for factor in term.factors:
                for parent in self._parents(factor.atom):
                    if parent not in here:
                        among.append(self._home(parent, axis))
        return min(among), max(among)

    def old_places(self, first: int, last: int) -> Int[Array, " places"]:
        """Old place of each new one of the axes from first to last, flattened."""
        if first == last:
            label = self.labels[first]
            if _is_plain(label):
                return self.indices[label.name]
            return self._old(first).reshape(-1)
        strides = [
            math.prod(self.shape[k + 1 : last + 1]) for k in range(first, last + 1)
        ]
        old = sum(
            self._old(k) * stride
            for k, stride in zip(range(first, last + 1), strides, strict=True)
        )
        return old.reshape(-1)

    def _old(self, axis: int) -> Array:
        """Old place on one axis, an array that broadcasts to the shape of the leaf."""
        parts = [self._old_of_term(axis, term) for term in self.terms[axis]]
        if len(parts) == 1:
            return parts[0]
        xp = self._xp
        shape = list(np.broadcast_shapes(*(_without(p.shape, axis) for p in parts)))
        for i, part in enumerate(parts):
            shape[axis] = part.shape[axis]
            parts[i] = xp.broadcast_to(part, shape)
        places = np.concatenate([term.places for term in self.terms[axis]])
        return xp.take(xp.concatenate(parts, axis), np.argsort(places), axis=axis)

    def _old_of_term(self, axis: int, term: Term) -> Array:
        own = {f.atom.name: c for f, c in self._coordinates(term) if f.atom}
        place: Any = np.full(self._along(axis, 1), term.offset, self._dtype)
        for factor, coordinate in self._coordinates(term):
            old: Any = coordinate.reshape(self._along(axis, -1))
            if factor.atom and factor.atom.name in self.indices:
                above = [
                    own[parent].reshape(self._along(axis, -1))
                    if parent in own
                    else self._elsewhere(parent, axis)
                    for parent in self._parents(factor.atom)
                ]
                old = self.indices[factor.atom.name][(*above, old)]
            place = place + factor.stride * old
        return place

    def _elsewhere(self, name: str, axis: int) -> np.ndarray:
        """Coordinate of a name that labels another axis, along that axis."""
        home = self._home(name, axis)
        found = np.empty(self.shape[home], self._dtype)
        for term in self.terms[home]:
            for factor, coordinate in self._coordinates(term):
                if factor.atom and factor.atom.name == name:
                    found[term.places] = coordinate
        return found.reshape(self._along(home, -1))

    def _home(self, name: str, axis: int) -> int:
        """The other axis that a name labels; there is one in every piece of a leaf."""
        return next(
            k for k, x in enumerate(self.labels) if k != axis and name in names(x)
        )

    def _parents(self, atom: Any) -> tuple[str, ...]:
        moves = isinstance(atom, Units) and atom.name in self.indices
        return atom.under if moves else ()

    def _coordinates(self, term: Term) -> list[tuple[Any, np.ndarray]]:
        rows = term.coordinates.astype(self._dtype)
        return list(zip(term.factors, rows, strict=True))

    def _along(self, axis: int, length: int) -> tuple[int, ...]:
        return tuple(length if k == axis else 1 for k in range(len(self.shape)))

    @property
    def _xp(self) -> Any:
        host = all(isinstance(x, np.ndarray) for x in self.indices.values())
        return np if host else jnp

    @property
    def _dtype(self) -> Any:
        return int if self._xp is np else np.int32


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])
