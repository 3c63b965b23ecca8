"""How alike the activations of networks' units are, as a term of an ascent."""

import copy
import functools
from collections.abc import Mapping, Sequence, Set

import numpy as np

from linconn_jax.align._families import Parents, chained
from linconn_jax.permutation import BoundSpec, Permutation, compose, points
from linconn_jax.typing import Bool, Float

Similarities = Mapping[str, Float[np.ndarray, "points points"]]
"""Of each name: of the units of one network (rows) with those of another (columns)."""


class Activations:
    """Similarities of k networks' units, which stay what they are wherever units lie.

    The objective is the sum over all pairs of networks, all names and the units that lie
    in one place.

    Args:
      bound: spec of the networks.
      parents: of the names that are assigned.
      pairs: similarities of networks i and j, for each pair i < j.
      moving: numbers of the networks that are permuted.
    """

    def __init__(
        self,
        bound: BoundSpec,
        parents: Parents,
        pairs: Mapping[tuple[int, int], Similarities],
        moving: Sequence[int],
    ):
        self.pairs, self.moving = dict(pairs), tuple(moving)
        self.networks = 1 + max(j for _, j in pairs)
        self.found = [bound.identity()] * self.networks
        self.exact = chained(parents)
        self.parents = parents
        self._turned = {  # [j, i]: rows are units of i
            (j, i): {name: np.ascontiguousarray(x.T) for name, x in names.items()}
            for (i, j), names in pairs.items()
            if i in self.moving
        }
        # Sums over the others, columns as units of the network were given; and the rows
        # of them in whose places other units stand since.
        self._sums: dict[tuple[int, str], Float[np.ndarray, "points points"]] = {}
        self._stale: dict[tuple[int, str], Bool[np.ndarray, " points"]] = {}

    def copied(self) -> "Activations":
        """One that goes on from here by itself."""
        other = copy.copy(self)
        other.found = list(self.found)
        other._sums = {key: x.copy() for key, x in self._sums.items()}
        other._stale = {key: x.copy() for key, x in self._stale.items()}
        return other

    def similarity(
        self, i: int, name: str
    ) -> Float[np.ndarray, "points points"] | None:
        """Of the units of network i with those of all others; None if there are none."""
        every = [j for j in range(self.networks) if j != i]
        others = [j for j in every if name in self._between(j, i)]
        if not others:
            return None
        if (i, name) not in self._sums:
            rows = [
                self._between(j, i)[name][points(self.found[j], name)] for j in others
            ]
            self._sums[i, name] = functools.reduce(np.add, rows)
            self._stale[i, name] = np.zeros(len(rows[0]), bool)
        total, stale = self._sums[i, name], self._stale[i, name]
        if stale.any():
            places = np.flatnonzero(stale)
            rows = [
                self._between(j, i)[name][points(self.found[j], name)[places]]
                for j in others
            ]
            total[places] = functools.reduce(np.add, rows)  # in the order of the sum
            stale[:] = False
        return np.take(total, points(self.found[i], name), axis=1)

    def step(self, i: int, step: Permutation, names: Set[str]) -> set[tuple[int, str]]:
        """Moves units of network i; returns whose similarities are others then."""
        old = self.found[i]
        self.found[i] = new = compose(old, step)
        moved = self._moved(names)
        for name in moved:
            places = points(old, name) != points(new, name)
            for j in self.moving:
                if j != i and (j, name) in self._stale:
                    self._stale[j, name] |= places
        return {(j, name) for j in self.moving if j != i for name in moved}

    def is_linear(self, name: str) -> bool:
        """Whether the similarities say what an assignment gains: unless names lie under
        two that are beside each other."""
        return self.exact

    def gain(self, i: int, step: Permutation, names: Set[str]) -> float:
        """What the objective gains by a step of network i."""
        other = copy.copy(self)
        other.found = list(self.found)
        other.found[i] = compose(self.found[i], step)
        moved = self._moved(names)
        return other._total(moved) - self._total(moved)

    def objective(self) -> float:
        """The sum of the similarities of all units that lie in one place."""
        return self._total({x for names in self.pairs.values() for x in names})

    def _moved(self, names: Set[str]) -> set[str]:
        """Whose units are others then: the names, and those that lie under them."""
        return {x for x, above in self.parents.items() if names & {x, *above}}

    def _total(self, chosen: Set[str]) -> float:
        """The objective's part of some names."""
        return float(
            sum(
                between[points(self.found[i], name), points(self.found[j], name)].sum()
                for (i, j), names in self.pairs.items()
                for name, between in names.items()
                if name in chosen
            )
        )

    def _between(self, j: int, i: int) -> Similarities:
        """Of the units of network j (rows) with those of network i (columns)."""
        return self.pairs[j, i] if j < i else self._turned[j, i]
