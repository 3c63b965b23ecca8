"""How alike the activations of networks' units are, as a term of an ascent."""

import copy
from collections.abc import Mapping, Sequence, Set

import numpy as np

from linconn_jax.align._families import Parents, chained
from linconn_jax.permutation import BoundSpec, Permutation, compose, points
from linconn_jax.typing import Float

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

    def copied(self) -> "Activations":
        """One that goes on from here by itself."""
        other = copy.copy(self)
        other.found = list(self.found)
        return other

    def similarity(
        self, i: int, name: str
    ) -> Float[np.ndarray, "points points"] | None:
        """Of the units of network i with those of all others; None if there are none."""
        here, total = points(self.found[i], name), None
        for j in range(self.networks):
            if j != i and name in self._pair(i, j):
                between = self._pair(i, j)[name]
                between = between.T if i < j else between  # columns are units of i
                there = points(self.found[j], name)
                found = between[np.ix_(there, here)]
                total = found if total is None else total + found
        return total

    def step(self, i: int, step: Permutation, names: Set[str]) -> set[tuple[int, str]]:
        """Moves units of network i; returns whose similarities are others then."""
        self.found[i] = compose(self.found[i], step)
        moved = {x for x, above in self.parents.items() if names & {x, *above}}
        return {(j, name) for j in self.moving if j != i for name in moved}

    def is_linear(self, name: str) -> bool:
        """Whether the similarities say what an assignment gains: unless names lie under
        two that are beside each other."""
        return self.exact

    def gain(self, i: int, step: Permutation, names: Set[str]) -> float:
        """What the objective gains by a step of network i."""
        other = self.copied()
        other.found[i] = compose(self.found[i], step)
        return other.objective() - self.objective()

    def objective(self) -> float:
        """The sum of the similarities of all units that lie in one place."""
        return float(
            sum(
                between[points(self.found[i], name), points(self.found[j], name)].sum()
                for (i, j), names in self.pairs.items()
                for name, between in names.items()
            )
        )

    def _pair(self, i: int, j: int) -> Similarities:
        return self.pairs[min(i, j), max(i, j)]
