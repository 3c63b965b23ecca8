"""Test (iii): symmetries that the spec has not.

Three kinds are looked for: axes that stay but can move together, names that are two, and
names whose permutation may depend on more. What is found has been tried on random
networks; that nothing is found is no proof: axes that stay are read as units, or as a
product of units and something else, and not as parts side by side.
"""

import dataclasses
from collections.abc import Container, Sequence

import numpy as np

from linconn_jax.permutation._verify.alike import Alike
from linconn_jax.permutation._verify.sites import Parent, Site
from linconn_jax.permutation._verify.trials import Count, Trials

LEAST_FACTOR = 4
"""Axes are read as products of so many units at least; fewer fit into any length."""


@dataclasses.dataclass(frozen=True)
class Completeness:
    """Symmetries that were looked for, and those that were missed.

    Attributes:
      freed: how many axes that stay were tried.
      split: how many sites of a name were tried on whether they are tied to the others.
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
        name: [site for site in trials.named(name) if site.leaf not in idle]
        for name in trials.names
    }
    split, apart = _splits(trials, named)
    nested, under = _nests(trials, named)
    stays = [
        site
        for site in trials.sites
        if site.name is None and site.size > 1 and site.leaf not in idle
    ]
    freed, free = _freed(trials, stays)
    return Completeness(freed, split, nested, (*free, *apart, *under))


def _freed(trials: Trials, stays: Sequence[Site]) -> tuple[Count, list[str]]:
    """Sets of axes that stay but could be one name."""
    chosen, count = trials.choose(stays)
    found = []
    for size in dict.fromkeys(site.size for site in chosen):
        for tied in _free_sets(trials, stays, chosen, size):
            found.append(f"{_listed(tied)} could be a name of {size} units")
    return count, found


def _free_sets(
    trials: Trials, stays: Sequence[Site], chosen: Sequence[Site], size: int
) -> list[list[Site]]:
    """Sets of sites of `size` units that move together and nothing with them."""
    plain = [site for site in stays if site.size == size]
    products = [
        site.divided(size, slow=slow)
        for site in stays
        for slow in (False, True)
        if size >= LEAST_FACTOR and site.size > size and site.size % size == 0
    ]
    alike = Alike(trials, [*plain, *products])
    could = [site for site in plain if site in chosen and alike.may_move(site)]
    if not could:
        return []
    could += [site for site in products if alike.may_move(site)]
    alike = Alike(trials, could)
    classes = alike.classes()
    found = [tied for tied in classes if alike.symmetric(tied)]
    if not found and len(classes) > 1 and alike.symmetric(could):
        found = [could]
    return [tied for tied in found if not all(map(trials.idle, tied))]


def _splits(trials: Trials, named: dict[str, list[Site]]) -> tuple[Count, list[str]]:
    """Names whose sites fall into several sets that move independently."""
    chosen, count = trials.choose([site for own in named.values() for site in own])
    found = []
    for name, own in named.items():
        if not own or not set(own) <= set(chosen):
            continue
        alike = Alike(trials, own, trials.layout.parents[name])
        classes = [x for x in alike.classes() if not all(map(trials.idle, x))]
        apart = [x for x in classes if len(classes) > 1 and alike.symmetric(x)]
        found += [f"{name} in {_listed(x)} could be a name apart" for x in apart]
    return count, found


def _nests(trials: Trials, named: dict[str, list[Site]]) -> tuple[Count, list[str]]:
    """Names that could be permuted in another way for each index of something else."""
    pairs: list[tuple[str, Parent]] = []
    for name, own in named.items():
        parents = set.intersection(*(site.parents() for site in own)) if own else set()
        parents -= {*trials.layout.parents[name]}
        pairs += [(name, x) for x in sorted(parents, key=str) if trials.length(x) > 1]
    chosen, count = trials.choose(pairs)
    found = []
    for name, parent in chosen:
        if _could_lie_under(trials, named[name], parent):
            what = f"an axis of length {parent}" if isinstance(parent, int) else parent
            found.append(f"{name} could lie under {what}")
    return count, found


def _could_lie_under(trials: Trials, own: Sequence[Site], parent: Parent) -> bool:
    """Whether a name may be permuted at the first index of `parent` alone."""
    under = (*trials.layout.parents[own[0].name], parent)
    size = own[0].size
    shape = (*(trials.length(x) for x in under), size)
    index = np.broadcast_to(np.arange(size), shape).copy()
    index[..., 0, :] = trials.cycle(size)
    return not trials.changes(site.move(index, under) for site in own)


def _listed(sites: Sequence[Site], most: int = 6) -> str:
    text = ", ".join(map(str, sites[:most]))
    return text + (f" and {len(sites) - most} more" if len(sites) > most else "")
