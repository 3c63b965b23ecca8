"""Tests (i) and (ii): permutations do not change the function, wrong labels do."""

import dataclasses

import jax

from linconn_jax.permutation._verify.probe import float64
from linconn_jax.permutation._verify.sites import Site
from linconn_jax.permutation._verify.trials import Count, Trials
from linconn_jax.permutation.action import permute
from linconn_jax.permutation.algebra import random
from linconn_jax.permutation.spec import Spec


@dataclasses.dataclass(frozen=True)
class FunctionTest:
    """What permuting does to the outputs, relative to their scale.

    Attributes:
      errors: of random elements of the group, each on a random network of its own.
      alone: the change when one name alone is permuted.
      tolerance: changes up to this are rounding.
    """

    errors: tuple[float, ...]
    alone: dict[str, float]
    tolerance: float

    @property
    def worst(self) -> float:
        """The largest change of all."""
        return max((*self.errors, *self.alone.values()), default=0.0)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Names that may not be permuted as the spec says."""
        return tuple(n for n, x in self.alone.items() if not x <= self.tolerance)

    @property
    def ok(self) -> bool:
        """Whether nothing but rounding was seen."""
        return self.worst <= self.tolerance


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


def check_function(trials: Trials, spec: Spec, *, elements: int) -> FunctionTest:
    """Permutes random networks by random elements, then by each name alone.

    The first goes by `permute`; the second by another program (`sites`), as a check.
    """
    errors = tuple(_element(trials, spec) for _ in range(elements))
    alone = {name: trials.change(trials.whole(name, 0)) for name in trials.names}
    return FunctionTest(errors, alone, trials.probe.precision.tolerance)


def _element(trials: Trials, spec: Spec) -> float:
    probe = trials.probe
    leaves = probe.draw()
    key = jax.random.key(int(probe.rng.integers(2**31)))
    with float64():
        tree = probe.tree(leaves)
        moved = permute(spec, random(key, spec, tree), tree)
    flat = probe.structure.flatten_up_to(moved)
    moved_leaves = {i: flat[i] for i in probe.numbers}
    return probe.distance(probe.run(leaves), probe.run(moved_leaves))


def check_labels(trials: Trials) -> LabelTest:
    """Drops each label in turn, then swaps it for another name of its size.

    The only label of a name is dropped only if it has no effect anyhow: without it
    nothing would move.
    """
    sites = {name: trials.named(name) for name in trials.names}
    named = [site for each in sites.values() for site in each]
    dropped, drop_count = trials.choose(
        [
            (site, None)
            for site in named
            if len(sites[site.name]) > 1 or trials.idle(site)
        ]
    )
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
    if other:
        moving.append(site)
    moves = [trials.move(each, name) for each in moving]

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
