"""Tests (i) and (ii): permutations do not change the function, wrong labels do."""

import dataclasses

import jax
import numpy as np

from linconn_jax.permutation._verify.occurrences import Occurrence
from linconn_jax.permutation._verify.perturbation import Count, Trials
from linconn_jax.permutation._verify.probe import float64
from linconn_jax.permutation.action import permute
from linconn_jax.permutation.algebra import random


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


def check_function(trials: Trials, elements: int) -> FunctionTest:
    """Permutes random networks by random elements, then by each name alone.

    The first goes by `permute`, the second by the moves of occurrences, as a check.
    """
    errors = tuple(_element(trials) for _ in range(elements))
    alone = {name: trials.change(trials.whole(name, 0)) for name in trials.names}
    return FunctionTest(errors, alone, trials.probe.precision.tolerance)


def _element(trials: Trials) -> float:
    """The change of the outputs by a random element of the group."""
    probe, bound = trials.probe, trials.bound
    network = probe.draw()
    key = jax.random.key(int(probe.rng.integers(2**31)))
    with float64():
        tree = probe.arguments(network)[0]
        flat = bound.leaves(permute(bound, random(key, bound, tree), tree))
    permuted = {i: flat[i] for i in probe.numbers}
    return probe.distance(probe.run(network), probe.run(permuted))


def check_labels(trials: Trials) -> LabelTest:
    """Drops each label in turn, then swaps it for another name of its size.

    The only label of a name is dropped only if it has no effect anyhow: without it
    nothing would move.
    """
    own = {x: trials.named[name] for name in trials.names for x in trials.named[name]}
    drops, dropped = trials.choose(
        [(x, None) for x, all_ in own.items() if len(all_) > 1 or trials.idle(x)]
    )
    changes = {pair: _change(trials, *pair) for pair in drops}
    idle = [x for (x, _), change in changes.items() if not change and trials.idle(x)]
    others = {name: _other(trials, name) for name in trials.names}
    swaps, swapped = trials.choose(
        [(x, others[x.name]) for x in own if others[x.name] and x not in idle]
    )
    changes |= {pair: _change(trials, *pair) for pair in swaps}
    unnoticed = (
        f"{x}: {x.name} may be {f'swapped for {other}' if other else 'dropped'}"
        for (x, other), change in changes.items()
        if not change and x not in idle
    )
    return LabelTest(
        dropped,
        swapped,
        tuple(unnoticed),
        tuple(f"{x} ({x.name})" for x in idle),
        least=min(filter(None, changes.values()), default=float("inf")),
    )


def _change(trials: Trials, one: Occurrence, other: str | None) -> float | None:
    """The change of the outputs by a wrong label, or None if there is none.

    Dropped: the name moves everywhere but in this occurrence. Swapped: the other name
    moves, and this occurrence with it.
    """
    name = other or one.name
    beside = [x for x in trials.named[name] if x.leaf == one.leaf and x is not one]
    own = trials.move(one, name) if other else one.move(np.arange(one.size))  # stays
    moves = [own, *(trials.move(x, name) for x in beside)]
    return trials.noticed(lambda k: trials.whole(name, k) | trials.moved(moves, k))


def _other(trials: Trials, name: str) -> str | None:
    """Another name of the same size that could stand wherever this one does."""
    sizes, parents = trials.bound.sizes, trials.bound.parents
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
