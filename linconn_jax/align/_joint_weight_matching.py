"""One permutation for several pairs of networks: all their products, or the worst."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.align import _weight_method as pairwise
from linconn_jax.align._fitted import without
from linconn_jax.align._options import Names, Order
from linconn_jax.align._sequences import Sequences, check_lengths, sequences
from linconn_jax.align._weight_matching import weight_matching
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, register
from linconn_jax.align.objectives import Objective, transformed
from linconn_jax.checks import setting
from linconn_jax.permutation import BoundSpec, Permutation, Spec
from linconn_jax.typing import Float, Key, PyTree, Variables

OVER = ("sum", "normalised", "worst")
ROUNDS = 8
"""Of reweighting the pairs, where the worst counts."""
RATE = 1.0
"""The worst pair's weight grows by exp(RATE) a round, against the best pair's."""

Match = Callable[..., Alignment]


def joint_weight_matching(
    spec: Spec | BoundSpec,
    references: Sequence[Variables],
    others: Sequence[Variables],
    *,
    key: Key,
    over: str = "sum",
    objective: str | Objective = "linear",
    restarts: int = 1,
    leaves: Callable[[str], bool] | PyTree | None = None,
    initial: Permutation | Mapping[str, Any] | None = None,
    max_sweeps: int = 100,
    accept: str = "relative",
    order: Order = "random",
    names: Names | None = None,
) -> Alignment:
    """The P that (locally) maximises `Σ_t ⟨references[t], P[others[t]]⟩`.

    Two sequences of networks, such as two runs' checkpoints, are aligned by one
    permutation. It is weight matching of two networks each of whose leaves has all
    members of a sequence along one more axis, that nothing permutes.

    What is maximised over the pairs is by `over`:

    - "sum": products as they are: a pair with larger weights counts for more;
    - "normalised": cosines, products divided by `‖references[t]‖ ‖others[t]‖`;
    - "worst": the least of what each pair's cosine is above that of the permutation
      found for this pair alone. (The least cosine itself would be that of a pair which
      nothing aligns well, such as two networks at initialisation, whatever the others
      are.) The pairs are weighted, those that P leaves farthest below more and more
      (multiplicative weights: Freund & Schapire 1999), each time ascended from the best
      P yet, for `ROUNDS` rounds. Those of "sum" and "normalised" are among what is
      tried, so that its least is never below theirs.

    Args:
      spec: of each network, a tree of `Axes` or bound.
      references: T networks that stay.
      others: T networks, all moved alike; the t-th is compared with the t-th reference.
      key: draws the order of the layers.
      over: which of `OVER`.
      objective: what of each network is compared, as in `weight_matching`.
      restarts: runs of each ascent, of which the best is taken.
      leaves: what the permutation is fitted to, as in `weight_matching`.
      initial: where to start, a permutation of all others; the identity by default.
      max_sweeps: upper bound on passes over all layers.
      accept: which assignments improve a layer, as in `weight_matching`.
      order: in which names are visited, as in `weight_matching`.
      names: which axis names are assigned, as in `weight_matching`.

    Returns:
      An alignment of two: `alignment.apply(others[t])` is aligned to `references[t]`. Of
      one pair it is that of `weight_matching`. Of "worst" the history is that of the
      least over the rounds.

    Raises:
      ValueError: the sequences are empty or of different lengths, `over` is unknown, or
        as `weight_matching`.
    """
    checks.check("over", over, checks.one_of(*OVER))
    check_lengths(references, others)
    pairs = [
        transformed(objective, spec, pair, leaves)
        for pair in zip(references, others, strict=True)
    ]
    references, others = ([pair[i] for pair in pairs] for i in range(2))
    both = sequences(spec, references, others, leaves)
    match = partial(
        _matched,
        restarts=restarts,
        leaves=leaves,
        initial=initial,
        max_sweeps=max_sweeps,
        accept=accept,
        order=order,
        names=names,
    )
    ones = np.ones(both.count)
    if over == "sum":
        found = match(both, ones, key)
    elif over == "normalised":
        found = match(both, ones / both.norms(), key)
    else:
        found = _worst(spec, references, others, both, key, match)
    return dataclasses.replace(found, spec=spec)


def _matched(
    both: Sequences,
    weights: Float[np.ndarray, " pairs"],
    key: Key,
    **options,
) -> Alignment:
    """Weight matching of the stacks, each pair times its weight."""
    stacks = both.times(weights), both.others
    return weight_matching(both.spec, *stacks, key=key, **options)


def _worst(
    spec: Spec | BoundSpec,
    references: Sequence[Variables],
    others: Sequence[Variables],
    both: Sequences,
    key: Key,
    match: Match,
) -> Alignment:
    """The least over pairs of what each cosine is above that of the pair's own."""
    norms, alone = both.norms(), []
    for a, b in zip(references, others, strict=True):
        one = sequences(spec, [a], [b], both.leaves)
        found = match(one, np.ones(1), key)
        alone.extend(one.products(found.permutation) / one.norms())
    own = np.array(alone)

    def above(permutation: Permutation) -> Float[np.ndarray, " pairs"]:
        return both.products(permutation) / norms - own

    ones = np.ones(both.count)
    tried = [match(both, x, key) for x in (ones, ones / norms)]
    best = max(tried, key=lambda found: above(found.permutation).min())
    weights, latest, history = ones, above(tried[1].permutation), []
    for number in range(ROUNDS):
        spread = float(np.ptp(latest))
        if not spread:
            break
        weights = weights * np.exp(-RATE * (latest - latest.min()) / spread)
        weights = weights / weights.mean()
        drawn = jax.random.fold_in(key, number)
        found = match(both, weights / norms, drawn, initial=best.permutation)
        latest = above(found.permutation)
        if latest.min() > above(best.permutation).min():
            best = found
        history.append(float(above(best.permutation).min()))
    return Alignment(
        spec,
        best.permutations,
        objective=float(above(best.permutation).min()),
        naive=float(above(both.spec.identity()).min()),
        history=tuple(history),
        converged=best.converged,
    )


@dataclasses.dataclass(frozen=True)
class Settings(pairwise.Settings):
    """Options of joint weight matching in a study."""

    over: str = setting(
        "sum",
        checks.one_of(*OVER),
        "the pairs' products, their cosines, or the one farthest below its own best",
        added=True,
    )


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    half = len(networks) // 2
    references, others = networks[:half], networks[half:]
    return joint_weight_matching(
        context.spec,
        references,
        others,
        key=key,
        over=settings.over,
        objective=pairwise.objective(context, references[0], settings),
        restarts=settings.restarts,
        leaves=without(context.spec, references[0], others[0], settings.leave_out),
        accept=settings.accept,
        order=pairwise.ordering(context, references[0], settings.order),
        names=settings.names,
    )


register(
    Method(
        "joint_weight_matching",
        _find,
        settings=Settings,
        check=pairwise.check,
        sequences=True,
        colour="#009e73",
        marker="P",
        order=4,
    )
)
