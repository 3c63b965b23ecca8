"""The inner products of networks' weights, kept up to date as their units move.

For networks `x_i`, permuted as far as the ascent has come, the objective is the sum of
`⟨x_i, x_j⟩` over all pairs. Of the units of a name of network i, the similarity is that
of their weights with the same weights of the sum of all others. It is computed when it is
first asked for. A step of another name changes it by the units that moved, and only by
these it is corrected then: towards the end few units move, and a step costs little.

Columns of a similarity stand for units as they were given, so that a step of the network
itself moves nothing in it; its weights are moved when a similarity is computed anew.
"""

import copy
import functools
import itertools
from collections.abc import Mapping, Sequence, Set

import numpy as np

from linconn_jax.align._families import Parents, family
from linconn_jax.align._parts import Part, Use, gram
from linconn_jax.permutation import BoundSpec, Permutation, compose, points
from linconn_jax.typing import Float, Int

Moved = set[tuple[int, str]]
"""Networks and names whose similarity has changed."""
PLACING = 0.25
"""What a correction takes however few units moved, as a share of computing a similarity
anew (measured on MLPs of width 64 and 256)."""
BLOCK = 1 << 16
"""Numbers that are summed at once in float64: as many as stay in a core's cache."""


class Weights:
    """Parts of k networks, where their units stand, and similarities of these.

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
        self.still = bound.identity()
        self.found = [self.still] * len(networks)
        pieces = [x for x in bound.pieces if x.leaf in networks[0]]
        self.parts = [Part(piece, bound.parents) for piece in pieces]
        self.arrays = [
            [part.of(leaves[part.piece.leaf]) for part in self.parts]
            for leaves in networks
        ]
        self._of_part = [list(part.uses(i)) for i, part in enumerate(self.parts)]
        self.uses = {
            name: [x for x in itertools.chain(*self._of_part) if x.name == name]
            for name in parents
        }
        self._kept: dict[tuple[int, str], Float[np.ndarray, "points points"]] = {}
        # Corrections of a kept similarity since it was last asked for, in units of what
        # computing it anew takes: beyond one that is as good.
        self._owed: dict[tuple[int, str], float] = {}
        self._standing: dict[tuple[int, int], np.ndarray] = {}
        self._in_rows: dict[tuple[int, int, int], Float[np.ndarray, "m rest n"]] = {}

    def copied(self) -> "Weights":
        """One that goes on from here by itself."""
        other = copy.copy(self)
        other.found = list(self.found)
        other._kept = {key: kept.copy() for key, kept in self._kept.items()}
        other._owed, other._standing = dict(self._owed), dict(self._standing)
        return other

    def similarity(
        self, i: int, name: str
    ) -> Float[np.ndarray, "points points"] | None:
        """Of the units of network i with those of all others; None if no leaf tells."""
        if not self.uses.get(name):
            return None
        place = points(self.found[i], name)
        self._owed[i, name] = 0.0
        if (i, name) not in self._kept:
            total = 0.0
            for use in self.uses[name]:
                both = self._others(i, use.part), self.current(i, use.part)
                total = total + use.weight * np.float64(gram(*both, use.axes))
            self._kept[i, name] = found = np.empty_like(total)
            found[:, place] = total
        if self.found[i] is self.still:
            return self._kept[i, name]
        return np.take(self._kept[i, name], place, axis=1)

    def step(self, i: int, step: Permutation, names: Set[str]) -> Moved:
        """Moves units of network i, those of `names`.

        Returns:
          Networks and names whose similarities are others now, but for the order in which
          the units of network i stand.
        """
        changed: Moved = set()
        old = self.found[i]
        self.found[i] = new = compose(old, step)
        for number, part in self._touched(names):
            moves = part.moves(names)
            self._standing.pop((i, number), None)
            for use in self._of_part[number]:
                outside = not set(moves) <= set(use.axes)
                stale = {(j, use.name) for j in self.moving if outside or j != i}
                changed |= stale
                for key in stale & self._kept.keys():
                    if not self._correct(key[0], use, i, moves, old, new):
                        del self._kept[key]
        return changed

    def is_linear(self, name: str) -> bool:
        """Whether the similarities say exactly what an assignment gains."""
        touched = self._touched(family(name, self.parents))
        return all(part.is_linear(name) for _, part in touched)

    def gain(self, i: int, step: Permutation, names: Set[str]) -> float:
        """What the objective gains by a step, computed from all that it moves."""
        total, to = 0.0, compose(self.found[i], step)
        for number, part in self._touched(names):
            rest = self._others(i, number)
            total += _inner(rest, part.moved(self.arrays[i][number], to))
            total -= _inner(rest, self.current(i, number))
        return total

    def objective(self) -> float:
        """The sum over all pairs of networks, in float64."""
        total = 0.0
        for number in range(len(self.parts)):
            every = [self.current(i, number) for i in range(len(self.found))]
            total += sum(_inner(a, b) for a, b in itertools.combinations(every, 2))
        return total

    def current(self, i: int, number: int) -> np.ndarray:
        """A part of network i as its units stand."""
        array, found = self.arrays[i][number], self.found[i]
        if found is self.still:
            return array
        if (i, number) not in self._standing:
            self._standing[i, number] = self.parts[number].moved(array, found)
        return self._standing[i, number]

    def _touched(self, names: Set[str]) -> list[tuple[int, Part]]:
        """Number and part of all that carry one of the names."""
        parts = enumerate(self.parts)
        return [(i, part) for i, part in parts if not names.isdisjoint(part.names)]

    def _others(self, i: int, number: int) -> np.ndarray:
        """A part of the sum of all networks but one, as their units stand."""
        rest = (self.current(j, number) for j in range(len(self.found)) if j != i)
        return functools.reduce(np.add, rest)

    def _correct(
        self,
        j: int,
        use: Use,
        i: int,
        moves: Sequence[int],
        old: Permutation,
        new: Permutation,
    ) -> bool:
        """Brings a similarity of network j up to date after network i moved.

        False if it is better computed anew: where more moves than one simple axis, or so
        much that, with as many such steps as there are networks, it were more than that,
        or if several such steps of many networks already were.
        """
        part, kept = self.parts[use.part], self._kept[j, use.name]
        if not part.is_simple or len(moves) > 1:
            return False
        axis, name = moves[0], part.names[moves[0]]
        moved = np.flatnonzero(old[name] != new[name])
        if len(self.moving) * len(moved) > len(old[name]) or self._is_overdue(
            j, use.name, len(moved) / len(old[name])
        ):
            return False
        rows = self._rows(i, use.part, axis)
        change = rows[new[name][moved]]
        change -= rows[old[name][moved]]
        if use.axes != (axis,):
            if i == j:
                others = (x for x in range(len(self.found)) if x != i)
                left = (self._fetched(x, use.part, axis, moved) for x in others)
                pair = functools.reduce(np.add, left), change
            else:
                theirs = self._rows(j, use.part, axis)[self.found[j][name][moved]]
                pair = self._placed(i, use.part, axis, change), theirs
            a, b = (x.reshape(-1, x.shape[-1]) for x in pair)
            kept += use.weight * (a.T @ b)
        else:  # rows of units, of which those of network j stay
            a = self._placed(i, use.part, axis, change).reshape(len(moved), -1)
            b = self._placed(j, use.part, axis, self._rows(j, use.part, axis))
            kept[moved] += use.weight * (a @ b.reshape(len(b), -1).T)
        return True

    def _is_overdue(self, j: int, name: str, share: float) -> bool:
        """Whether one more correction, of that share of the units, is one too many.

        Of two networks none is: between two visits of a name only its neighbours move.
        """
        owed = self._owed.get((j, name), 0.0) + PLACING + share
        self._owed[j, name] = owed
        return len(self.moving) > 1 and owed > 1.0

    def _rows(self, i: int, number: int, axis: int) -> Float[np.ndarray, "m rest n"]:
        """A simple part of network i, as it was given, a row for each unit of an axis.

        The units of its other axis that moves, if there is one, lie along the last.
        """
        key = i, number, axis
        if key not in self._in_rows:
            self._in_rows[key] = self.parts[number].rows(self.arrays[i][number], axis)
        return self._in_rows[key]

    def _fetched(
        self, i: int, number: int, axis: int, places: Int[np.ndarray, " places"]
    ) -> Float[np.ndarray, "places rest n"]:
        """Rows that stand in these places now, with all other units where they stand."""
        name = self.parts[number].names[axis]
        rows = self._rows(i, number, axis)[self.found[i][name][places]]
        return self._placed(i, number, axis, rows)

    def _placed(
        self, i: int, number: int, axis: int, rows: Float[np.ndarray, "places rest n"]
    ) -> Float[np.ndarray, "places rest n"]:
        """Rows whose last axis has been put in the order in which its units stand."""
        other = self.parts[number].other(axis)
        if other is None or self.found[i] is self.still:
            return rows
        return np.take(rows, self.found[i][self.parts[number].names[other]], axis=-1)


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    """The inner product in float64."""
    a, b = a.reshape(-1), b.reshape(-1)
    blocks = (slice(start, start + BLOCK) for start in range(0, a.size, BLOCK))
    return sum((float(np.float64(a[x]) @ np.float64(b[x])) for x in blocks), 0.0)
