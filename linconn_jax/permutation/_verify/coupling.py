"""Which occurrences are tied to one another, asked of one network.

To ask whether one occurrence may move alone, the others of its kind are *levelled*: unit j
is overwritten by unit i, so that swapping the two does nothing there. What is left to be
swapped is the one occurrence, and the outputs tell. Spare a second occurrence, and they
tell whether the two are tied. So sets of any number of tied axes are found with one
question for each axis, and one for each pair at worst.
"""

from collections.abc import Sequence

import numpy as np

from linconn_jax.permutation._verify.occurrences import (
    Move,
    Occurrence,
    Parent,
    moved,
)
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
        self,
        trials: Trials,
        occurrences: Sequence[Occurrence],
        parents: tuple[Parent, ...] = (),
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
        leaves = {x.leaf for x in (one, *spared)}
        intact = {x.where for x in (one, *spared)}
        levelling = (
            move
            for where, move in self.levelling.items()
            if move.leaf in leaves and where not in intact
        )
        network, probe = self.trials.network(0), self.trials.probe
        own = {i: network.host[i] for i in leaves} | self.trials.moved(levelling)
        swap = np.arange(self.size)
        swap[self.pair] = swap[self.pair[::-1]]
        swapped = moved(own, [one.move(swap, self.parents)])
        before = probe.run(network.device, self.levelled, own)
        after = probe.run(network.device, self.levelled, own, swapped)
        return probe.distance(before, after) <= probe.precision.tolerance

    def tied(self) -> list[list[Occurrence]]:
        """Sets of occurrences that are tied, if only through others of the set."""
        rest, found = list(self.occurrences), []
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
        pieces = [entries for x in readings for entries, _ in x.pieces]
        here, there = (
            np.concatenate([entries[..., unit].reshape(-1) for entries in pieces])
            for unit in self.pair
        )
        gather = np.arange(readings[0].entries)
        # Entries that any reading makes equal take the first of all that are so linked.
        while (gather[here] != gather[there]).any():
            first = np.minimum(gather[here], gather[there])
            np.minimum.at(gather, here, first)
            np.minimum.at(gather, there, first)
        return Move(readings[0].leaf, gather)
