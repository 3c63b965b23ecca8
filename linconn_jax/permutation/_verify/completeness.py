"""Test (iii): symmetries that the spec has not.

Looked for are axes that stay but can move together, names that are two, and names whose
permutation may depend on more. That nothing is found is no proof: axes that stay are read
as units, or as a product of units and something else, and not as parts side by side.
"""

import math
from collections.abc import Container, Sequence

import numpy as np

from linconn_jax.permutation._verify.occurrences import Move, Occurrence, moved
from linconn_jax.permutation._verify.perturbation import Trials
from linconn_jax.permutation._verify.probe import put
from linconn_jax.permutation._verify.report import Completeness, Count
from linconn_jax.permutation.describe import few

Named = dict[str, list[Occurrence]]

LEAST_FACTOR = 4
"""Axes are read as products of so many units at least; fewer fit into any length."""


def check_completeness(trials: Trials, idle: Container[int]) -> Completeness:
    """Looks for further symmetries; `idle` leaves are left out."""
    occurrences = [x for x in trials.occurrences if x.leaf not in idle]
    named = {n: [x for x in occurrences if x.name == n] for n in trials.names}
    named = {name: own for name, own in named.items() if own}
    split, apart = _splits(trials, named)
    nested, deeper = _nests(trials, named)
    stays = [x for x in occurrences if x.name is None and x.size > 1]
    freed, free = _freed(trials, stays)
    return Completeness(freed, split, nested, (*free, *apart, *deeper))


def _freed(trials: Trials, stays: Sequence[Occurrence]) -> tuple[Count, list[str]]:
    """Sets of axes that stay, but move together and nothing with them."""
    chosen, count = trials.choose("axes that stay", stays, runs=6)
    found = []
    for size in dict.fromkeys(x.size for x in chosen):
        plain = [x for x in stays if x.size == size]
        products = [
            x.divided(size, slow=slow)
            for x in stays
            for slow in (False, True)
            if size >= LEAST_FACTOR and x.size > size and x.size % size == 0
        ]
        coupling = Coupling(trials, [*plain, *products])
        could = [x for x in plain if x in chosen and coupling.moves_alone(x)]
        if not could:
            continue
        could += filter(coupling.moves_alone, products)
        coupling = Coupling(trials, could)
        sets = coupling.tied()
        free = [tied for tied in sets if coupling.symmetric(tied)]
        if not free and len(sets) > 1 and coupling.symmetric(could):
            free = [could]
        free = [tied for tied in free if not all(map(trials.idle, tied))]
        found += [f"{few(x, 6)} could be a name of {size} units" for x in free]
    return count, found


def _splits(trials: Trials, named: Named) -> tuple[Count, list[str]]:
    """Names whose occurrences fall into several sets that move independently."""
    every = [x for own in named.values() for x in own]
    chosen, count = trials.choose("names that are two", every, share=0.5, runs=4)
    found = []
    for name, own in named.items():
        if set(own) <= set(chosen):
            coupling = Coupling(trials, own, trials.bound.parents[name])
            sets = [x for x in coupling.tied() if not all(map(trials.idle, x))]
            apart = [x for x in sets if len(sets) > 1 and coupling.symmetric(x)]
            found += [f"{name} in {few(x, 6)} could be a name apart" for x in apart]
    return count, found


def _nests(trials: Trials, named: Named) -> tuple[Count, list[str]]:
    """Names that could be permuted in another way for each index of something else."""
    pairs, found = [], []
    sizes, parents = trials.bound.sizes, trials.bound.parents
    for name, own in named.items():
        further = set.intersection(*(x.possible_parents() for x in own))
        further = sorted(further - {*parents[name]}, key=str)
        pairs += [(name, x) for x in further if sizes.get(x, x) > 1]
    chosen, count = trials.choose("further parents", pairs, share=0.5)
    for name, parent in chosen:
        index = np.tile(np.arange(sizes[name]), (sizes.get(parent, parent), 1))
        index[0] = trials.cycle(sizes[name])  # in the first index alone
        under = (*parents[name], parent)
        if not trials.changes(x.move(index, under) for x in named[name]):
            what = parent if isinstance(parent, str) else f"an axis of length {parent}"
            found.append(f"{name} could lie under {what}")
    return count, found


class Coupling:
    """Which of some occurrences are tied to one another, asked of one network.

    To ask whether one may move alone, the others are *levelled*: unit j is overwritten by
    unit i, so that swapping the two does nothing there. If a second one is spared, the
    outputs tell whether the two are tied. So sets of any number of tied occurrences are
    found with one question for each, and one for each pair at worst.

    Args:
      trials: the function; its first network is used.
      occurrences: of one size; several may be the same entries, read in other ways.
      parents: of the units.
    """

    def __init__(
        self, trials: Trials, occurrences: list[Occurrence], parents: tuple = ()
    ):
        self.trials, self.occurrences, self.parents = trials, occurrences, parents
        self.size = occurrences[0].size
        self.pair = trials.rng.permutation(self.size)[:2]
        readings: dict[str, list[Occurrence]] = {}
        for one in occurrences:
            readings.setdefault(one.where, []).append(one)
        self.levelling = {where: self._level(each) for where, each in readings.items()}
        self.levelled = put(trials.moved(self.levelling.values()))

    def moves_alone(self, one: Occurrence, *spared: Occurrence) -> bool:
        """Whether swapping two units in one occurrence changes nothing.

        All others are levelled, but for those that are spared.
        """
        intact, trials = (one, *spared), self.trials
        leaves, places = {x.leaf for x in intact}, {x.where for x in intact}
        levelling = (
            move
            for where, move in self.levelling.items()
            if move.leaf in leaves and where not in places
        )
        network = trials.network(0)[0]
        own = {i: network[i] for i in leaves} | trials.moved(levelling)
        swap = np.arange(self.size)
        swap[self.pair] = swap[self.pair[::-1]]
        before = network | self.levelled | own
        after = before | moved(own, [one.move(swap, self.parents)])
        change = trials.distance(trials.run(before), trials.run(after))
        return change <= trials.precision.tolerance

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
