"""Which occurrences are tied to one another, asked of one network.

To ask whether one occurrence may move alone, the others of its kind are *levelled*: unit
j is overwritten by unit i, so that swapping the two does nothing there. What is left to
be swapped is the one occurrence, and the outputs tell. Spare a second occurrence, and
they tell whether the two are tied. So sets of any number of tied axes are found with one
question for each axis, and one for each pair at worst.
"""

import math
from collections.abc import Sequence

import numpy as np

from linconn_jax.permutation._verify.occurrences import Move, Occurrence, moved
from linconn_jax.permutation._verify.perturbation import Trials
from linconn_jax.permutation._verify.probe import put


class Coupling:
    """Occurrences of one number of units, and a network in which all are levelled.

    Args:
      trials: the function; its first network is used.
      occurrences: that may be tied; several may be the same entries, read in other ways.
      parents: of the units.
    """

    def __init__(
        self, trials: Trials, occurrences: list[Occurrence], parents: tuple = ()
    ):
        self.trials, self.occurrences, self.parents = trials, occurrences, parents
        self.size = occurrences[0].size
        self.pair = trials.probe.rng.permutation(self.size)[:2]
        readings: dict[str, list[Occurrence]] = {}
        for one in occurrences:
            readings.setdefault(one.where, []).append(one)
        self.levelling = {where: self._level(each) for where, each in readings.items()}
        self.levelled = put(trials.moved(self.levelling.values()))

    def moves_alone(self, one: Occurrence, *spared: Occurrence) -> bool:
        """Whether swapping two units in one occurrence changes nothing.

        All others are levelled, but for those that are spared.
        """
        intact, probe = (one, *spared), self.trials.probe
        leaves, places = {x.leaf for x in intact}, {x.where for x in intact}
        levelling = (
            move
            for where, move in self.levelling.items()
            if move.leaf in leaves and where not in places
        )
        network = self.trials.network(0)[0]
        own = {i: network[i] for i in leaves} | self.trials.moved(levelling)
        swap = np.arange(self.size)
        swap[self.pair] = swap[self.pair[::-1]]
        before = network | self.levelled | own
        after = before | moved(own, [one.move(swap, self.parents)])
        change = probe.distance(probe.run(before), probe.run(after))
        return change <= probe.precision.tolerance

    def tied(self) -> list[list[Occurrence]]:
        """Sets of occurrences that are tied, if only through others of the set."""
        rest, found = self.occurrences, []
        while rest:
            tied, rest = [rest[0]], rest[1:]
            for one in tied:  # grows while it is walked
                new = [other for other in rest if not self.moves_alone(one, other)]
                rest = [other for other in rest if other not in new]
                tied += new
            found.append(tied)
        return found

    def symmetric(self, tied: Sequence[Occurrence]) -> bool:
        """Whether one permutation of all of these leaves the outputs as they are."""
        index = self.trials.cycle(self.size)
        return not self.trials.changes(one.move(index, self.parents) for one in tied)

    def _level(self, readings: Sequence[Occurrence]) -> Move:
        """Makes two units equal in all readings of the same entries at once."""
        arrays = [numbers for x in readings for numbers, _ in x.entries]
        here, there = (
            np.concatenate([numbers[..., unit].reshape(-1) for numbers in arrays])
            for unit in self.pair
        )
        gather = np.arange(math.prod(readings[0].shape))
        # Entries that any reading makes equal take the first of all that are so linked.
        while (gather[here] != gather[there]).any():
            first = np.minimum(gather[here], gather[there])
            np.minimum.at(gather, here, first)
            np.minimum.at(gather, there, first)
        return Move(readings[0].leaf, gather)
