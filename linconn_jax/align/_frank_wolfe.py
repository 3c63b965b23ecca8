"""Frank-Wolfe on soft permutations of k networks at once (C2M3)."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from linconn_jax import checks
from linconn_jax.align import assignment
from linconn_jax.align._ascent import Ascent, Climb
from linconn_jax.align._compared import compared
from linconn_jax.align._networks import listed
from linconn_jax.align._options import Names, starts, staying
from linconn_jax.align._relaxed import Relaxed, Soft, best_step, between, corner
from linconn_jax.align._together import (
    begin,
    best_of,
    beyond_rounding,
    generators,
    interleaved,
    relative,
)
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, register
from linconn_jax.checks import setting
from linconn_jax.permutation import BoundSpec, Permutation, Spec
from linconn_jax.typing import Key, PyTree, Variables

START = 0.1
"""How much of a random permutation there is where a run begins."""


def frank_wolfe(
    spec: Spec | BoundSpec,
    networks: Sequence[Variables] | PyTree,
    *,
    key: Key,
    restarts: int = 1,
    local_search: bool = False,
    leaves: Callable[[str], bool] | PyTree | None = None,
    initial: Alignment | Sequence[Permutation | Mapping[str, Any]] | None = None,
    max_steps: int = 100,
    tolerance: float = 1e-5,
    names: Names | None = None,
) -> Alignment:
    """Permutations of k networks by way of doubly stochastic matrices.

    C2M3's data-free method (Crisostomi et al. 2024, after Frank and Wolfe 1956):
    `Σ_{i<j} ⟨P_i θ_i, P_j θ_j⟩`, the objective of MergeMany, is maximised over doubly
    stochastic matrices of all networks and names at once. Each step goes towards the
    permutations to which the derivatives point, one linear assignment for each network
    and name, as far as the objective rises: along a line it is a polynomial (quartic
    where leaves carry two names), whose maximum is found exactly. At the end each matrix
    is replaced by the permutation that is nearest, which may lower the objective. (Of two
    networks the first stays, and it is a relaxation of weight matching.)

    Args:
      spec: of the networks, a tree of `Axes` or bound.
      networks: two or more, in a list or stacked, as `align.joint` takes them.
      key: draws where the runs after the first begin, and the order of a local search.
      restarts: so many runs, of which the best is returned. The first begins at
        `initial`; in others only the first network does, and the matrices of the
        rest have equal entries but for a part `START` of a random permutation.
      local_search: whether coordinate ascent goes on from the permutations.
      leaves: what the permutations are fitted to, as in `weight_matching`.
      initial: where the first run starts, an alignment of these networks or a
        permutation of each; by default where nothing is moved. Names that are not
        assigned stay there in all runs, and may be left out.
      max_steps: upper bound on steps, in each run.
      tolerance: a run ends when a step gains less than this fraction of the objective.
      names: which axis names are assigned, as in `weight_matching`.

    Returns:
      An alignment with a permutation for each network; the first one stays. `history`
      holds the relaxed objective after each step, and last that of the permutations.

    Raises:
      ValueError: fewer than two networks, or neither a list nor a stack of them, not a
        permutation of each in `initial`, or as `weight_matching`.
    """
    draws = generators(key, checks.check("restarts", restarts, checks.whole(1)))
    checks.check("max_steps", max_steps, checks.whole(0))
    checks.check("tolerance", tolerance, checks.number(least=0))
    networks, _ = listed(spec, networks)
    weights = compared(spec, networks, leaves, names=names)
    terms, moving = [weights.weights], weights.weights.moving
    ascent = Ascent(weights.bound, weights.parents, terms, moving, beyond_rounding)
    first = relative(starts(weights.bound, initial, len(networks), weights.parents))
    naive = begin(ascent, [staying(weights.bound, weights.parents, x) for x in first])
    relaxed = Relaxed(weights.weights)
    options = {"max_steps": max_steps, "tolerance": tolerance, "search": local_search}
    climbs = [
        partial(
            _climb,
            relaxed=relaxed,
            generator=x,
            first=None if n else first,
            **options,
        )
        for n, x in enumerate(draws)
    ]
    return best_of(spec, ascent.each(climbs), naive, weights.objective)


def _climb(
    ascent: Ascent,
    relaxed: Relaxed,
    generator: np.random.Generator,
    first: Sequence[Permutation] | None,
    max_steps: int,
    tolerance: float,
    search: bool,
) -> Climb:
    start = _start(ascent, generator, first)
    soft, history, converged = maximum(relaxed, start, max_steps, tolerance)
    for i in ascent.moving:
        nearest = {name: assignment.maximize(soft[i, name]) for name in ascent.parents}
        ascent.move(i, ascent.still.replace({**ascent.still, **nearest}))
    ascent.value = ascent.objective()
    if search:
        sweeps, settled = interleaved(ascent, generator, 100)
        return [*history, *sweeps], converged and settled
    return [*history, ascent.value], converged


def maximum(
    relaxed: Relaxed, soft: Soft, max_steps: int, tolerance: float
) -> tuple[Soft, list[float], bool]:
    """Where the steps lead, the objective after each, and whether they ended there."""
    history: list[float] = []
    for _ in range(max_steps):
        value, slopes = relaxed.slopes(soft)
        end = corner(slopes)
        step = best_step(relaxed.line(soft, end))
        ahead = between(soft, end, step)
        reached = relaxed.objective(ahead)
        if reached - value <= tolerance * abs(value):
            return soft, history, True
        soft = ahead
        history.append(reached)
    return soft, history, False


def _start(
    ascent: Ascent,
    generator: np.random.Generator,
    first: Sequence[Permutation] | None,
) -> Soft:
    """Matrices of all networks and names: those of permutations, or random ones.

    Of random ones the first network's move nothing.

    (If all were nearly equal, no network would give the others a direction.)
    """
    found: Soft = {}
    for i, name in itertools.product(ascent.moving, ascent.parents):
        index = np.asarray((ascent.still if first is None else first[i])[name])
        units = index.shape[-1]
        if first is not None or i == 0:
            found[i, name] = np.eye(units)[index]
        else:
            drawn = np.eye(units)[generator.permuted(index, axis=-1)]
            found[i, name] = START * drawn + (1 - START) / units
    return found


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of Frank-Wolfe in a study."""

    restarts: int = setting(8, checks.whole(1), "runs, of which the best is taken")
    local_search: bool = setting(
        False, checks.FLAG, "whether coordinate ascent goes on from the permutations"
    )


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    return frank_wolfe(
        context.spec,
        networks,
        key=key,
        restarts=settings.restarts,
        local_search=settings.local_search,
    )


register(
    Method(
        "frank_wolfe",
        _find,
        label="Frank-Wolfe (C2M3)",
        settings=Settings,
        joint=True,
        colour="#882255",
        marker="h",
        order=9,
    )
)
