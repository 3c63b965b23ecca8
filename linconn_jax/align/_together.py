"""Climbing with k networks at once: in which order, and what is returned."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax.align._ascent import Ascent, Climb, Run, Site
from linconn_jax.align._keys import seed
from linconn_jax.align.alignment import Alignment
from linconn_jax.permutation import BoundSpec, Permutation, Spec, compose, inverse

ROUNDING = 1e-6
"""A step must gain more than this fraction of its similarity's scale: float32 sums of a
similarity's entries differ by about 1e-7 of it."""


def beyond_rounding(gain: float, scale: float) -> bool:
    """Whether an assignment gains more than rounding can."""
    return gain > ROUNDING * scale


def generators(key: Any, restarts: int) -> list[np.random.Generator]:
    """One for each run; the first is that of the key itself."""
    keys = [key, *(jax.random.fold_in(key, i) for i in range(1, restarts))]
    return [np.random.default_rng(seed(x)) for x in keys]


def shuffled(
    sites: Sequence[Site], generator: np.random.Generator, sweeps: int
) -> Iterator[list[Site]]:
    """All networks and names in a fresh random order in each sweep."""
    for _ in range(sweeps):
        yield [sites[i] for i in generator.permutation(len(sites))]


def interleaved(
    ascent: Ascent,
    generator: np.random.Generator,
    max_sweeps: int,
    order: Sequence[str] | None = None,
) -> Climb:
    """A climb in which names of all networks take turns, at random or in an order."""
    sites = list(itertools.product(ascent.moving, order or ascent.parents))
    if order is not None:
        return ascent.climb(itertools.repeat(sites, max_sweeps))
    return ascent.climb(shuffled(sites, generator, max_sweeps))


def begin(ascent: Ascent, starts: Sequence[Permutation] | None) -> float:
    """Goes on from a permutation of each network; what there was where nothing moved.

    All are turned alike so that the first network stays, which changes no objective.
    """
    naive = ascent.value
    if starts is None:
        return naive
    first = relative(starts)
    moved = [i for i in ascent.moving if first[i] != ascent.still]
    for i in moved:
        ascent.move(i, first[i])
    if moved:
        ascent.value = ascent.objective()
    return naive


def best_of(
    spec: Spec | BoundSpec,
    runs: Sequence[Run],
    naive: float,
    objective: Callable[[float], float] = float,
) -> Alignment:
    """The run that reached most, as an alignment in which the first network stays.

    Args:
      spec: of the networks.
      runs: climbs from one start.
      naive: the objective where nothing is moved.
      objective: makes of an ascent's objective what is told.
    """
    best = max(runs, key=lambda run: run.objective)
    return Alignment(
        spec,
        relative(best.found),
        objective=objective(best.objective),
        naive=objective(naive),
        history=tuple(map(objective, best.history)),
        converged=best.converged,
        reached=tuple(objective(run.objective) for run in runs) if runs[1:] else (),
    )


def relative(found: Sequence[Permutation]) -> tuple[Permutation, ...]:
    """Permutations of all networks, turned back alike so that the first one stays."""
    back = inverse(found[0])
    return tuple(compose(one, back) for one in found)
