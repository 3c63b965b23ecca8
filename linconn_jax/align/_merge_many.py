"""MergeMany: each network in turn is matched to the sum of all others."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from linconn_jax import checks
from linconn_jax.align._ascent import Ascent, Climb
from linconn_jax.align._compared import compared
from linconn_jax.align._networks import listed
from linconn_jax.align._options import Names, starts
from linconn_jax.align._together import (
    begin,
    best_of,
    beyond_rounding,
    generators,
    shuffled,
)
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, register
from linconn_jax.checks import setting
from linconn_jax.permutation import BoundSpec, Permutation, Spec
from linconn_jax.typing import Key, PyTree, Variables


def merge_many(
    spec: Spec | BoundSpec,
    networks: Sequence[Variables] | PyTree,
    *,
    key: Key,
    restarts: int = 1,
    leaves: Callable[[str], bool] | PyTree | None = None,
    initial: Alignment | Sequence[Permutation | Mapping[str, Any]] | None = None,
    max_sweeps: int = 100,
    names: Names | None = None,
) -> Alignment:
    """Permutations of k networks that (locally) maximise `Σ_{i<j} ⟨P_i θ_i, P_j θ_j⟩`.

    Git Re-Basin's algorithm 3 (Ainsworth et al. 2023): networks are taken in a random
    order, and each is brought to the sum of all others by weight matching until nothing
    gains, again and again until no network moves.

    Args:
      spec: of the networks, a tree of `Axes` or bound.
      networks: two or more, in a list or stacked, as `align.joint` takes them.
        (Of two it is weight matching.)
      key: draws the order of the networks and of their layers.
      restarts: so many runs, of which the best is returned.
      leaves: what the permutations are fitted to, as in `weight_matching`.
      initial: where all runs start, an alignment of these networks or a permutation of
        each; by default where nothing is moved. Names that are not assigned may be left
        out.
      max_sweeps: upper bound on passes over all networks.
      names: which axis names are assigned, as in `weight_matching`.

    Returns:
      An alignment with a permutation for each network; the first one stays.

    Raises:
      ValueError: fewer than two networks, or neither a list nor a stack of them, not a
        permutation of each in `initial`, or as `weight_matching`.
    """
    draws = generators(key, checks.check("restarts", restarts, checks.whole(1)))
    checks.check("max_sweeps", max_sweeps, checks.whole(0))
    networks, _ = listed(spec, networks)
    weights = compared(spec, networks, leaves, names=names)
    terms, moving = [weights.weights], weights.weights.moving
    ascent = Ascent(weights.bound, weights.parents, terms, moving, beyond_rounding)
    naive = begin(
        ascent, starts(weights.bound, initial, len(networks), weights.parents)
    )
    climbs = [partial(_one_by_one, generator=x, max_sweeps=max_sweeps) for x in draws]
    return best_of(spec, ascent.each(climbs), naive, weights.objective)


def _one_by_one(
    ascent: Ascent, generator: np.random.Generator, max_sweeps: int
) -> Climb:
    history: list[float] = []
    for _ in range(max_sweeps):
        moved = False
        for i in generator.permutation(list(ascent.moving)):
            sites = [(int(i), name) for name in ascent.parents]
            moved |= len(ascent.climb(shuffled(sites, generator, 100))[0]) > 1
        history.append(ascent.value)
        if not moved:
            return history, True
    return history, False


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of MergeMany in a study."""

    restarts: int = setting(8, checks.whole(1), "runs, of which the best is taken")


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    return merge_many(context.spec, networks, key=key, restarts=settings.restarts)


register(
    Method(
        "merge_many",
        _find,
        label="MergeMany",
        settings=Settings,
        joint=True,
        colour="#56b4e9",
        marker="^",
        order=5,
    )
)
