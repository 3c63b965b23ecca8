"""Test (iii): symmetries that the spec has not.

Three kinds are looked for: axes that stay but can move together, names that are two, and
names whose permutation may depend on more.

To ask of one site whether it is tied to another, the others are made *alike*: unit j is
overwritten by unit i, so that swapping the two there does nothing. What remains to be
swapped is the one site, and the outputs tell. So sets of any number of tied axes are
found with one question for each axis.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from linconn_jax.permutation.verify.probe import Leaves, put
from linconn_jax.permutation.verify.sites import Move, Parent, Site
from linconn_jax.permutation.verify.trials import Count, Trials


@dataclasses.dataclass(frozen=True)
class Completeness:
    """Symmetries that were looked for, and those that were missed.

    Attributes:
      freed: how many axes that stay were tried.
      split: how many pairs of sites of one name were tried.
      nested: how many (name, further parent) were tried.
      missed: what was found, in words.
    """

    freed: Count
    split: Count
    nested: Count
    missed: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.missed


def check_completeness(trials: Trials, idle: Iterable[int]) -> Completeness:
    """Looks for further symmetries; `idle` leaves are left out."""
    idle = set(idle)
    split, apart = _splits(trials, idle)
    nested, under = _nests(trials, idle)
    freed, free = _freed(trials, idle)
    return Completeness(freed, split, nested, (*free, *apart, *under))


def _freed(trials: Trials, idle: set[int]) -> tuple[Count, list[str]]:
    """Sets of axes that stay but could be one name."""
    by_size: dict[int, list[Site]] = {}
    for site in trials.sites.all:
        if site.name is None and site.size > 1 and site.leaf not in idle:
            by_size.setdefault(site.size, []).append(site)
    every = [site for sites in by_size.values() for site in sites]
    chosen, count = trials.choose(every)
    found = []
    for size, sites in by_size.items():
        class_ = _Alike(trials, sites, size)
        could = [site for site in sites if site in set(chosen) and class_.free(site)]
        for tied in _Alike(trials, could, size).classes():
            if _moves_nothing(trials, tied, size) and not all(map(trials.idle, tied)):
                found.append(f"{_listed(tied)} could be a name of {size} units")
    return count, found


def _splits(trials: Trials, idle: set[int]) -> tuple[Count, list[str]]:
    """Names whose sites fall into several that move independently."""
    pairs = [
        (name, site)
        for name in trials.names
        for site in trials.sites.named(name)[1:]
        if site.leaf not in idle
    ]
    chosen, count = trials.choose(pairs)
    found = []
    for name in dict.fromkeys(name for name, _ in chosen):
        sites = [s for s in trials.sites.named(name) if s.leaf not in idle]
        size, under = trials.layout.sizes[name], trials.layout.parents[name]
        kept = {site for _, site in chosen} | {sites[0]}
        alike = _Alike(trials, [s for s in sites if s in kept], size, under)
        classes = [tied for tied in alike.classes() if not all(map(trials.idle, tied))]
        if len(classes) > 1 and len(kept & set(sites)) == len(sites):
            apart = [t for t in classes if _moves_nothing(trials, t, size, under)]
            found += [
                f"{name} in {_listed(t)} could be a name apart" for t in apart[1:]
            ]
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
        if _could_lie_under(trials, name, parent):
            what = f"an axis of length {parent}" if isinstance(parent, int) else parent
            found.append(f"{name} could lie under {what}")
    return count, found


def _could_lie_under(trials: Trials, name: str, parent: Parent) -> bool:
    """Whether `name` may be permuted at the first index of `parent` alone."""
    under = (*trials.layout.parents[name], parent)
    size = trials.layout.sizes[name]
    shape = (*(trials.length(x) for x in under), size)
    index = np.broadcast_to(np.arange(size), shape).copy()
    index[..., 0, :] = trials.cycle(size)
    moves = [Move(site, index, under) for site in trials.sites.named(name)]
    return not trials.changes(moves)


def _moves_nothing(
    trials: Trials, sites: Sequence[Site], size: int, under: tuple[Parent, ...] = ()
) -> bool:
    """Whether permuting these sites alike leaves the outputs of random networks."""
    shape = (*(trials.length(x) for x in under), size)
    index = np.broadcast_to(trials.cycle(size), shape)
    return not trials.changes(Move(site, index, under) for site in sites)


class _Alike:
    """Sites of one size, alike in two of their units but for those in question."""

    def __init__(
        self,
        trials: Trials,
        sites: Sequence[Site],
        size: int,
        under: tuple[Parent, ...] = (),
    ):
        self.trials, self.sites, self.under = trials, list(sites), under
        shape = (*(trials.length(x) for x in under), size)
        i, j = trials.probe.rng.permutation(size)[:2]
        alike, swap = np.arange(size), np.arange(size)
        alike[j], swap[[i, j]] = i, [j, i]
        self.alike, self.swap = (np.broadcast_to(x, shape) for x in (alike, swap))
        self.host = trials.network(0).host
        moves = (Move(site, self.alike, under) for site in sites)
        self.base = put(trials.sites.moved(self.host, moves))

    def free(self, *sites: Site) -> bool:
        """Whether swapping the two units at the first site changes nothing.

        All other sites are alike, but those that are given as well.
        """
        leaves = {site.leaf for site in sites}
        moves = [
            Move(site, self.alike, self.under)
            for site in self.sites
            if site.leaf in leaves and site not in sites
        ]
        own = {leaf: self.host[leaf] for leaf in leaves}
        own.update(self.trials.sites.moved(self.host, moves))
        first = sites[0].leaf
        swap = Move(sites[0], self.swap, self.under)
        swapped: Leaves = {first: self.trials.sites.apply(own[first], [swap])}
        return self.trials.same(({**self.base, **own}, swapped))

    def classes(self) -> list[list[Site]]:
        """The sites parted into those that are tied to one another."""
        rest, found = list(self.sites), []
        while rest:
            first, *rest = rest
            tied = [site for site in rest if not self.free(first, site)]
            rest = [site for site in rest if site not in tied]
            found.append([first, *tied])
        return found


def _listed(sites: Sequence[Site], most: int = 6) -> str:
    text = ", ".join(map(str, sites[:most]))
    return text + (f" and {len(sites) - most} more" if len(sites) > most else "")
