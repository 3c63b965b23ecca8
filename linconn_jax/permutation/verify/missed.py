"""Test (iii): symmetries that the spec has not.

Three kinds are looked for: axes that stay but can move together, names that are two, and
names whose permutation may depend on more. What is found has been tried on random
networks; that nothing is found is no proof.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from linconn_jax.permutation.verify.alike import Alike, Reading
from linconn_jax.permutation.verify.sites import Move, Parent, Site
from linconn_jax.permutation.verify.trials import Count, Trials

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


def check_completeness(trials: Trials, idle: Iterable[int]) -> Completeness:
    """Looks for further symmetries; `idle` leaves are left out."""
    idle = set(idle)
    split, apart = _splits(trials, idle)
    nested, under = _nests(trials, idle)
    freed, free = _freed(trials, idle)
    return Completeness(freed, split, nested, (*free, *apart, *under))


def _freed(trials: Trials, idle: set[int]) -> tuple[Count, list[str]]:
    """Sets of axes that stay but could be one name."""
    stays = [
        site
        for site in trials.sites.all
        if site.name is None and site.size > 1 and site.leaf not in idle
    ]
    chosen, count = trials.choose(stays)
    found = []
    for size in dict.fromkeys(site.size for site in chosen):
        for tied in _free_sets(trials, stays, set(chosen), size):
            found.append(f"{_listed(tied)} could be a name of {size} units")
    return count, found


def _free_sets(
    trials: Trials, stays: Sequence[Site], chosen: set[Site], size: int
) -> list[list[Reading]]:
    """Sets of readings of `size` units that move together and nothing with them."""
    plain = [Reading(site) for site in stays if site.size == size]
    products = [
        Reading(site, site.size // size, slow)
        for site in stays
        for slow in (False, True)
        if size >= LEAST_FACTOR and site.size > size and site.size % size == 0
    ]
    alike = Alike(trials, [*plain, *products], size)
    could = [x for x in plain if x.site in chosen and alike.may_move(x)]
    if not could:
        return []
    could += [x for x in products if alike.may_move(x)]
    alike = Alike(trials, could, size)
    classes = alike.classes()
    found = [tied for tied in classes if alike.symmetric(tied)]
    if not found and len(classes) > 1 and alike.symmetric(could):
        found = [could]
    return [tied for tied in found if not _all_idle(trials, tied)]


def _splits(trials: Trials, idle: set[int]) -> tuple[Count, list[str]]:
    """Names whose sites fall into several sets that move independently."""
    sites = [
        site
        for name in trials.names
        for site in trials.sites.named(name)
        if site.leaf not in idle
    ]
    chosen, count = trials.choose(sites)
    found = []
    for name in dict.fromkeys(site.name for site in chosen):
        own = [site for site in sites if site.name == name]
        if not set(own) <= set(chosen):
            continue
        size, under = trials.layout.sizes[name], trials.layout.parents[name]
        alike = Alike(trials, list(map(Reading, own)), size, under)
        classes = [x for x in alike.classes() if not _all_idle(trials, x)]
        apart = [x for x in classes if len(classes) > 1 and alike.symmetric(x)]
        found += [f"{name} in {_listed(x)} could be a name apart" for x in apart]
    return count, found


def _nests(trials: Trials, idle: set[int]) -> tuple[Count, list[str]]:
    """Names that could be permuted in another way for each index of something else."""
    pairs: list[tuple[str, Parent]] = []
    for name in trials.names:
        has = trials.layout.parents[name]
        sites = [s for s in trials.sites.named(name) if s.leaf not in idle]
        beside = [trials.sites.parents(site, but=has) for site in sites]
        parents = set.intersection(*beside) if beside else set()
        pairs += [(name, x) for x in sorted(parents, key=str) if trials.length(x) > 1]
    chosen, count = trials.choose(pairs)
    found = []
    for name, parent in chosen:
        if _could_lie_under(trials, name, parent, idle):
            what = f"an axis of length {parent}" if isinstance(parent, int) else parent
            found.append(f"{name} could lie under {what}")
    return count, found


def _could_lie_under(trials: Trials, name: str, parent: Parent, idle: set[int]) -> bool:
    """Whether `name` may be permuted at the first index of `parent` alone."""
    under = (*trials.layout.parents[name], parent)
    size = trials.layout.sizes[name]
    shape = (*(trials.length(x) for x in under), size)
    index = np.broadcast_to(np.arange(size), shape).copy()
    index[..., 0, :] = trials.cycle(size)
    sites = [site for site in trials.sites.named(name) if site.leaf not in idle]
    return not trials.changes(Move(site, index, under) for site in sites)


def _all_idle(trials: Trials, tied: Sequence[Reading]) -> bool:
    return all(trials.idle(reading.site) for reading in tied)


def _listed(readings: Sequence[Reading], most: int = 6) -> str:
    text = ", ".join(map(str, readings[:most]))
    return text + (f" and {len(readings) - most} more" if len(readings) > most else "")
