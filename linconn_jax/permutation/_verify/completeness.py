"""Test (iii): symmetries that the spec has not.

Three kinds are looked for: axes that stay but can move together, names that are two, and
names whose permutation may depend on more. What is found has been tried on random
networks; that nothing is found is no proof: axes that stay are read as units, or as a
product of units and something else, and not as parts side by side.
"""

import dataclasses
from collections.abc import Container, Sequence

import numpy as np

from linconn_jax.permutation._verify.coupling import Coupling
from linconn_jax.permutation._verify.occurrences import Occurrence
from linconn_jax.permutation._verify.perturbation import Count, Trials

Named = dict[str, list[Occurrence]]
"""Occurrences by axis name."""

LEAST_FACTOR = 4
"""Axes are read as products of so many units at least; fewer fit into any length."""


@dataclasses.dataclass(frozen=True)
class Completeness:
    """Symmetries that were looked for, and those that were missed.

    Attributes:
      freed: how many axes that stay were tried.
      split: how many occurrences of names were tried: are they tied to the others?
      nested: how many (name, further parent) were tried.
      missed: what was found, in words.
    """

    freed: Count
    split: Count
    nested: Count
    missed: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was tried and nothing was found."""
        counts = (self.freed, self.split, self.nested)
        return not self.missed and all(count.whole for count in counts)


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
    chosen, count = trials.choose(stays)
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
        could += [x for x in products if coupling.moves_alone(x)]
        coupling = Coupling(trials, could)
        sets = coupling.tied()
        free = [tied for tied in sets if coupling.symmetric(tied)]
        if not free and len(sets) > 1 and coupling.symmetric(could):
            free = [could]
        free = [tied for tied in free if not all(map(trials.idle, tied))]
        found += [f"{_listed(x)} could be a name of {size} units" for x in free]
    return count, found


def _splits(trials: Trials, named: Named) -> tuple[Count, list[str]]:
    """Names whose occurrences fall into several sets that move independently."""
    chosen, count = trials.choose([x for own in named.values() for x in own])
    found = []
    for name, own in named.items():
        if set(own) <= set(chosen):
            coupling = Coupling(trials, own, trials.bound.parents[name])
            sets = [x for x in coupling.tied() if not all(map(trials.idle, x))]
            apart = [x for x in sets if len(sets) > 1 and coupling.symmetric(x)]
            found += [f"{name} in {_listed(x)} could be a name apart" for x in apart]
    return count, found


def _nests(trials: Trials, named: Named) -> tuple[Count, list[str]]:
    """Names that could be permuted in another way for each index of something else."""
    pairs, found = [], []
    sizes, parents = trials.bound.sizes, trials.bound.parents
    for name, own in named.items():
        further = set.intersection(*(x.possible_parents() for x in own))
        further = sorted(further - {*parents[name]}, key=str)
        pairs += [(name, x) for x in further if sizes.get(x, x) > 1]
    chosen, count = trials.choose(pairs)
    for name, parent in chosen:
        index = np.tile(np.arange(sizes[name]), (sizes.get(parent, parent), 1))
        index[0] = trials.cycle(sizes[name])  # in the first index alone
        under = (*parents[name], parent)
        if not trials.changes(x.move(index, under) for x in named[name]):
            what = parent if isinstance(parent, str) else f"an axis of length {parent}"
            found.append(f"{name} could lie under {what}")
    return count, found


def _listed(occurrences: Sequence[Occurrence], most: int = 6) -> str:
    text, more = ", ".join(map(str, occurrences[:most])), len(occurrences) - most
    return text + (f" and {more} more" if more > 0 else "")
