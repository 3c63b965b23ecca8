"""The inner products of networks' weights, kept up to date as their units move.

For networks `x_i`, permuted as far as the ascent has come, the objective is the sum of
`⟨x_i, x_j⟩` over all pairs. Of the units of a name of network i, the similarity is that
of their weights with the same weights of the sum of all others. It is computed when it is
first asked for. A step of another name changes it by the units that moved, and only by
these it is corrected then: towards the end few units move, and a step costs little.
"""

import copy
import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from linconn_jax.align._families import Parents, family
from linconn_jax.align._parts import Part, Use, gram
from linconn_jax.permutation import BoundSpec, Permutation, points
from linconn_jax.typing import Float, Int

Moved = set[tuple[int, str]]
"""Networks and names whose similarity has changed."""


class Weights:
    """Parts of k networks as they stand, and similarities of their units.

    Args:
      bound: spec of the networks.
      parents: of the names that are assigned.
      networks: leaves of each, by number, on the host.
      moving: numbers of the networks that are permuted.
    """

    def __init__(
        self,
        bound: BoundSpec,
        parents: Parents,
        networks: Sequence[Mapping[int, np.ndarray]],
        moving: Sequence[int],
    ):
        self.parents, self.moving = parents, tuple(moving)
        pieces = [x for x in bound.pieces if x.leaf in networks[0]]
        self.parts = [Part(piece, bound.parents) for piece in pieces]
        self.arrays = [
            [part.of(leaves[part.piece.leaf]) for part in self.parts]
            for leaves in networks
        ]
        self._of_part = [list(part.uses(i)) for i, part in enumerate(self.parts)]
        uses = list(itertools.chain(*self._of_part))
        self.uses = {name: [x for x in uses if x.name == name] for name in parents}
        self._kept: dict[tuple[int, str], Float[np.ndarray, "points points"]] = {}

    def copied(self) -> "Weights":
        """One that goes on from here by itself. (No array is changed where it is.)"""
        other = copy.copy(self)
        other.arrays, other._kept = list(map(list, self.arrays)), dict(self._kept)
        return other

    def similarity(
        self, i: int, name: str
    ) -> Float[np.ndarray, "points points"] | None:
        """Of the units of network i with those of all others; None if no leaf tells."""
        if not self.uses.get(name):
            return None
        if (i, name) not in self._kept:
            grams = [
                use.weight
                * gram(self._others(i, use.part), self.arrays[i][use.part], use.axes)
                for use in self.uses[name]
            ]
            self._kept[i, name] = np.sum(grams, axis=0, dtype=np.float64)
        return self._kept[i, name]

    def step(self, i: int, step: Permutation, names: Set[str]) -> Moved:
        """Moves units of network i, those of `names`.

        Returns:
          Networks and names whose similarities are others now, but for the order in which
          the units of network i stand.
        """
        changed: Moved = set()
        for number, part in self._touched(names):
            old, moves = self.arrays[i][number], part.moves(names)
            new = self.arrays[i][number] = part.moved(old, step, moves)
            some = _few(part, moves, step, old, new, len(self.moving))
            for use in self._of_part[number]:
                outside = not set(moves) <= set(use.axes)
                stale = {(j, use.name) for j in self.moving if outside or j != i}
                changed |= stale
                for key in stale & self._kept.keys():
                    self._correct(key, use, i, some)
        for name, above in self.parents.items():
            if (i, name) in self._kept and not names.isdisjoint((name, *above)):
                self._kept[i, name] = self._kept[i, name][:, points(step, name)]
        return changed

    def is_linear(self, name: str) -> bool:
        """Whether the similarities say exactly what an assignment gains."""
        touched = self._touched(family(name, self.parents))
        return all(part.is_linear(name) for _, part in touched)

    def gain(self, i: int, step: Permutation, names: Set[str]) -> float:
        """What the objective gains by a step, computed from all that it moves."""
        total = 0.0
        for number, part in self._touched(names):
            old = self.arrays[i][number]
            new = part.moved(old, step, part.moves(names))
            others = self._others(i, number)
            total += _inner(others, new) - _inner(others, old)
        return total

    def objective(self) -> float:
        """The sum over all pairs of networks, in float64."""
        pairs = itertools.combinations(self.arrays, 2)
        both = ((x, y) for a, b in pairs for x, y in zip(a, b, strict=True))
        return sum((_inner(x, y) for x, y in both), 0.0)

    def _touched(self, names: Set[str]) -> list[tuple[int, Part]]:
        """Number and part of all that carry one of the names."""
        parts = enumerate(self.parts)
        return [(i, part) for i, part in parts if not names.isdisjoint(part.names)]

    def _others(self, i: int, number: int, some: Any = ...) -> np.ndarray:
        """A part of the sum of all networks but one, or some places of it."""
        rest = (x[number][some] for j, x in enumerate(self.arrays) if j != i)
        return functools.reduce(np.add, rest)

    def _correct(
        self, key: tuple[int, str], use: Use, i: int, some: "_Few | None"
    ) -> None:
        """Brings a similarity up to date after network i moved; or forgets it."""
        j, kept = key[0], self._kept.pop(key)
        if some is None:
            return
        if some.axis not in use.axes:
            if i == j:
                pair = self._others(i, use.part, some.places), some.change
            else:
                pair = some.change, self.arrays[j][use.part][some.places]
            self._kept[key] = kept + use.weight * gram(*pair, use.axes)
        elif use.axes == (some.axis,):  # and the units of another network stay
            change = gram(some.change, self.arrays[j][use.part], use.axes)
            kept = kept.copy()
            kept[some.moved] += use.weight * change
            self._kept[key] = kept


@dataclasses.dataclass(frozen=True)
class _Few:
    """What changed in a part: along one axis, in some places.

    Attributes:
      axis: the axis.
      moved: numbers of the places along it.
      change: what is there now less what was there.
    """

    axis: int
    moved: Int[np.ndarray, " moved"]
    change: np.ndarray

    @property
    def places(self) -> tuple:
        """Index of these places in an array like the part."""
        return (*(slice(None),) * self.axis, self.moved)


def _few(
    part: Part,
    moves: Sequence[int],
    step: Permutation,
    old: np.ndarray,
    new: np.ndarray,
    networks: int,
) -> _Few | None:
    """The change, unless it is so much that similarities are better computed anew.

    That is so if several axes move, or so much that `networks` such changes, of which
    each changes all similarities, are more than the whole.
    """
    name = part.names[moves[0]]
    if len(moves) > 1 or part.parents[name]:
        return None
    moved = np.flatnonzero(step[name] != np.arange(len(step[name])))
    if networks * len(moved) > len(step[name]):
        return None
    found = _Few(moves[0], moved, new)
    return dataclasses.replace(found, change=new[found.places] - old[found.places])


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(np.float64(a), np.float64(b)))
