"""Test (ii): every label is needed; dropped or swapped, it changes the function."""

import dataclasses

from linconn_jax.permutation.verify.sites import Site
from linconn_jax.permutation.verify.trials import Count, Trials


@dataclasses.dataclass(frozen=True)
class LabelTest:
    """What becomes of the outputs when single labels are left out or mistaken.

    Attributes:
      dropped, swapped: how many were tried; a name without another one of its size
        cannot be swapped.
      unnoticed: labels that may be dropped or swapped, though the values there matter.
      idle: labels on values that the outputs do not depend on (a key's bias in
        attention), about which no test can tell.
      least: the smallest change that was noticed, relative to the outputs' scale.
    """

    dropped: Count
    swapped: Count
    unnoticed: tuple[str, ...]
    idle: tuple[str, ...]
    least: float

    @property
    def ok(self) -> bool:
        """Whether every change was noticed, and some label could be tested."""
        tested = self.dropped.tried == 0 or self.least < float("inf")
        return not self.unnoticed and tested


def check_labels(trials: Trials) -> LabelTest:
    """Drops each label in turn, then swaps it for another name of its size."""
    named = [site for name in trials.names for site in trials.named(name)]
    dropped, drop_count = trials.choose([(site, None) for site in named])
    found = {pair: _change(trials, *pair) for pair in dropped}
    idle = [s for (s, _), change in found.items() if not change and trials.idle(s)]
    others = {name: _other(trials, name) for name in trials.names}
    swaps = [(s, others[s.name]) for s in named if others[s.name] and s not in idle]
    swapped, swap_count = trials.choose(swaps)
    found |= {pair: _change(trials, *pair) for pair in swapped}
    unnoticed = tuple(
        f"{s}: {s.name} may be {f'swapped for {other}' if other else 'dropped'}"
        for (s, other), change in found.items()
        if not change and s not in idle
    )
    least = min(filter(None, found.values()), default=float("inf"))
    return LabelTest(
        drop_count, swap_count, unnoticed, tuple(f"{s} ({s.name})" for s in idle), least
    )


def _change(trials: Trials, site: Site, other: str | None) -> float | None:
    """The change of the outputs by a wrong label, or None if there is none.

    Dropped: the site's name moves everywhere but there. Swapped: the other name moves,
    and the site with it.
    """
    name = other or site.name
    moving = [s for s in trials.named(name) if s.leaf == site.leaf and s is not site]
    moves = [trials.move(each, name) for each in (*moving, *([site] if other else []))]

    def changed(draw: int) -> tuple:
        leaf = {site.leaf: trials.network(draw).host[site.leaf]}
        return trials.whole(name, draw), leaf | trials.moved(moves, draw)

    return trials.noticed(changed)


def _other(trials: Trials, name: str) -> str | None:
    """Another name of the same size that could stand wherever this one does."""
    sizes, parents = trials.layout.sizes, trials.layout.parents
    found = [
        other
        for other in trials.names
        if other != name
        and other not in parents[name]
        and name not in parents[other]
        and sizes[other] == sizes[name]
        and set(parents[other]) <= set(parents[name])
    ]
    return min(found, key=lambda x: parents[x] != parents[name], default=None)
