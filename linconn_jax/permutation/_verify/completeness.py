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
from linconn_jax.permutation._verify.occurrences import Occurrence, Parent
from linconn_jax.permutation._verify.perturbation import Count, Trials

LEAST_FACTOR = 4
"""Axes are read as products of so many units at least; fewer fit into any length."""


@dataclasses.dataclass(frozen=True)
class Completeness:
    """Symmetries that were looked for, and those that were missed.

    Attributes:
      freed: how many axes that stay were tried.
      split: how many occurrences of a name were tried on whether they are tied to the
        others.
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
    named = {
        name: [x for x in trials.named[name] if x.leaf not in idle]
        for name in trials.names
    }
    split, apart = _splits(trials, named)
    nested, deeper = _nests(trials, named)
    stays = [
        x
        for x in trials.occurrences
        if x.name is None and x.size > 1 and x.leaf not in idle
    ]
    freed, free = _freed(trials, stays)
    return Completeness(freed, split, nested, (*free, *apart, *deeper))


def _freed(trials: Trials, stays: Sequence[Occurrence]) -> tuple[Count, list[str]]:
    """Sets of axes that stay but could be one name."""
    chosen, count = trials.choose(stays)
    found = []
    for size in dict.fromkeys(x.size for x in chosen):
        for tied in _free_sets(trials, stays, chosen, size):
            found.append(f"{_listed(tied)} could be a name of {size} units")
    return count, found


def _free_sets(
    trials: Trials, stays: Sequence[Occurrence], chosen: Sequence[Occurrence], size: int
) -> list[list[Occurrence]]:
    """Sets of axes of `size` units that move together and nothing with them."""
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
        return []
    could += [x for x in products if coupling.moves_alone(x)]
    coupling = Coupling(trials, could)
    sets = coupling.tied()
    found = [tied for tied in sets if coupling.symmetric(tied)]
    if not found and len(sets) > 1 and coupling.symmetric(could):
        found = [could]
    return [tied for tied in found if not all(map(trials.idle, tied))]


def _splits(
    trials: Trials, named: dict[str, list[Occurrence]]
) -> tuple[Count, list[str]]:
    """Names whose occurrences fall into several sets that move independently."""
    chosen, count = trials.choose([x for own in named.values() for x in own])
    found = []
    for name, own in named.items():
        if not own or not set(own) <= set(chosen):
            continue
        coupling = Coupling(trials, own, trials.bound.parents[name])
        sets = [tied for tied in coupling.tied() if not all(map(trials.idle, tied))]
        apart = [x for x in sets if len(sets) > 1 and coupling.symmetric(x)]
        found += [f"{name} in {_listed(x)} could be a name apart" for x in apart]
    return count, found


def _nests(
    trials: Trials, named: dict[str, list[Occurrence]]
) -> tuple[Count, list[str]]:
    """Names that could be permuted in another way for each index of something else."""
    pairs: list[tuple[str, Parent, int]] = []
    for name, own in named.items():
        parents = set.intersection(*(x.possible_parents() for x in own)) if own else ()
        for parent in sorted({*parents} - {*trials.bound.parents[name]}, key=str):
            length = trials.bound.sizes.get(parent, parent)  # a number is its length
            pairs += [(name, parent, length)] * (length > 1)
    chosen, count = trials.choose(pairs)
    found = []
    for name, parent, length in chosen:
        index = np.tile(np.arange(trials.bound.sizes[name]), (length, 1))
        index[0] = trials.cycle(index.shape[1])  # units move in the first index alone
        parents = (*trials.bound.parents[name], parent)
        if not trials.changes(x.move(index, parents) for x in named[name]):
            what = parent if isinstance(parent, str) else f"an axis of length {parent}"
            found.append(f"{name} could lie under {what}")
    return count, found


def _listed(occurrences: Sequence[Occurrence], most: int = 6) -> str:
    text = ", ".join(map(str, occurrences[:most]))
    more = len(occurrences) - most
    return text + (f" and {more} more" if more > 0 else "")
