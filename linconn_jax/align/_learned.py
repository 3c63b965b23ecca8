"""Alignment learned through the loss: permutations of k networks by gradient descent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from linconn_jax.align._networks import listed
from linconn_jax.align._options import Names, assigned, starts
from linconn_jax.align._search import RATES, Options, Search
from linconn_jax.align.alignment import Alignment, check_networks
from linconn_jax.permutation import (
    BoundSpec,
    Permutation,
    Spec,
    compose,
    inverse,
)
from linconn_jax.typing import Array, Key, PyTree, Variables


def learned(
    spec: Spec | BoundSpec,
    apply: Callable[..., Array],
    networks: Sequence[Variables] | PyTree,
    inputs: Array,
    labels: Array,
    *,
    key: Key,
    initial: Alignment | Sequence[Permutation | Mapping[str, Any]] | None = None,
    gradient: str = "sinkhorn",
    steps: int = 4000,
    rounds: int = 8,
    every: int = 50,
    learning_rate: float | None = None,
    batch_size: int = 128,
    kept: float = 0.2,
    strength: float = 5.0,
    noise: float = 1.0,
    names: Names | None = None,
) -> Alignment:
    """The permutations of k networks under which the loss between them is low.

    Each network and axis name has a matrix of scores, near the identity after the start
    has been applied (as in Theus et al. 2025), and Adam descends on the training loss at
    points of the networks' simplex: in each step one that lies near a corner or an edge
    (Dirichlet .1), one drawn uniformly, and the worst one seen at the last look. A look
    makes permutations of the scores and measures the loss barrier on examples that are
    kept aside. Learning goes in rounds, each from the best permutations so far with fresh
    noise; the best of all looks is returned, the start and the networks as they are
    among them: never worse than these on the examples kept aside. (Names that are not
    assigned stay as in the start in all of these.)

    Args:
      spec: of the networks, a tree of `Axes` or bound.
      apply: `(variables, inputs) -> logits`, pure. Running statistics are permuted and
        interpolated with the rest, as `evaluate_simplex` does.
      networks: k of them, k ≥ 2, on equal terms, in a list or stacked, as `align.joint`
        takes them.
      inputs: `[examples, ...]`, training inputs; never test data.
      labels: their classes, `[examples]`.
      key: draws the examples kept aside, the noise, batches and points.
      initial: where to start, an alignment of these networks or a permutation of each;
        by default the networks as they are. Names that are not assigned may be left out.
      gradient: how it reaches the scores. "sinkhorn": networks are moved by the doubly
        stochastic matrices that Sinkhorn's scaling makes of exp(scores) (Peña et al.
        2023). "straight_through": they are moved by the permutations with the largest
        scores, whose gradient is taken for the scores' (Ainsworth et al. 2023).
      steps: of Adam in all rounds together, three batches each.
      rounds: among which the steps are divided.
      every: steps from one look to the next; the last of a round is one.
      learning_rate: of Adam; by default that of `RATES`.
      batch_size: examples at each point of a step.
      kept: share of the examples that is kept aside.
      strength: of the identity in the scores.
      noise: standard deviation of what is added to it.
      names: which axis names are assigned, as in `weight_matching`.

    Returns:
      The alignment, its first permutation the identity: to move all networks alike
      changes no barrier. Its objective is minus the loss barrier on the examples kept
      aside, over a fixed set of points; `naive` is that of the networks as they are,
      `history` that of the start and of each look. It has converged if the last round
      found nothing better.

    Raises:
      ValueError: fewer than two networks, neither a list nor a stack, networks that do
        not fit each other or the spec, an `initial` of others, inputs and labels that do
        not fit or are too few, a loss that is not finite, or an option out of its
        range.
    """
    if learning_rate is None:
        learning_rate = RATES.get(gradient, 1.0)  # which is refused
    options = Options(
        gradient=gradient,
        steps=steps,
        rounds=rounds,
        every=every,
        learning_rate=learning_rate,
        batch_size=batch_size,
        kept=kept,
        strength=strength,
        noise=noise,
    )
    networks, _ = listed(spec, networks)
    if len(networks) < 2:
        raise ValueError(
            f"{len(networks)} networks are given; learned alignment takes two or more"
        )
    bound = check_networks(spec, networks[0], networks[1])
    for other in networks[2:]:
        check_networks(bound, networks[0], other)
    parents = assigned(bound, names)
    begins = starts(bound, initial, len(networks), parents)
    with jax.default_matmul_precision("float32"):  # whatever a device's own is
        search = Search(bound, parents, apply, networks, (inputs, labels), key, options)
        converged = search.run(begins)
    back = inverse(search.best[0])
    return Alignment(
        spec,
        tuple(compose(p, back) for p in search.best),
        objective=-search.found.value,
        naive=-search.naive.value,
        history=tuple(search.history),
        converged=converged,
    )
