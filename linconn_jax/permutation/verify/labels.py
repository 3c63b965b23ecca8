"""Test (ii): every label is needed; dropped or swapped, it changes the function."""

import dataclasses

from linconn_jax.permutation.verify.draws import is_inexact
from linconn_jax.permutation.verify.sites import Site
from linconn_jax.permutation.verify.trials import DRAWS, Count, Trials


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
    named = [site for name in trials.names for site in trials.sites.named(name)]
    unnoticed, idle, least = [], {}, float("inf")
    dropped, drop_count = trials.choose(named)
    for site in dropped:
        change = _noticed(trials, site, None)
        if change is not None:
            least = min(least, change)
        elif trials.idle(site):
            idle[site] = f"{site} ({site.name})"
        else:
            unnoticed.append(f"{site}: {site.name} may be dropped")
    others = {name: _other(trials, name) for name in trials.names}
    pairs = [(s, others[s.name]) for s in named if others[s.name] and s not in idle]
    swapped, swap_count = trials.choose(pairs)
    for site, other in swapped:
        change = _noticed(trials, site, other)
        if change is not None:
            least = min(least, change)
        elif not trials.idle(site):
            unnoticed.append(f"{site}: {site.name} may be swapped for {other}")
    return LabelTest(
        drop_count, swap_count, tuple(unnoticed), tuple(idle.values()), least
    )


def idle_leaves(trials: Trials) -> dict[int, str]:
    """Leaves that the outputs do not depend on, by number, as far as they are tried."""
    found, probe = {}, trials.probe
    numbers = [i for i in probe.numbers if is_inexact(probe.leaves[i])]
    for i in trials.choose(numbers)[0]:
        changes = (
            trials.change({i: probe.draw_leaf(i)}, draw=draw) for draw in range(DRAWS)
        )
        if not any(change > probe.precision.tolerance for change in changes):
            found[i] = probe.paths[i]
    return found


def _noticed(trials: Trials, site: Site, other: str | None) -> float | None:
    """The change of the outputs by a wrong label, or None if there is none.

    Dropped: the site's name moves everywhere but there. Swapped: the other name moves,
    and the site with it.
    """
    name = other or site.name
    moves = [
        m for m in trials.moves(name) if m.site.leaf == site.leaf and m.site != site
    ]
    if other:
        moves.append(trials.move(site, other))
    for draw in range(DRAWS):
        leaf = trials.network(draw).host[site.leaf]
        changed = {site.leaf: trials.sites.apply(leaf, moves)}
        change = trials.change(trials.whole(name, draw), changed, draw=draw)
        if change > trials.probe.precision.tolerance:
            return change
    return None


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
