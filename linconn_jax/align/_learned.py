"""Alignment learned through the loss: permutations of k networks by gradient descent."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import checks, metrics, simplex, trees
from linconn_jax.align import _learning
from linconn_jax.align.alignment import Alignment, check_networks
from linconn_jax.barrier import Barrier, barrier
from linconn_jax.permutation import (
    BoundSpec,
    Permutation,
    Spec,
    compose,
    from_indices,
    inverse,
)
from linconn_jax.typing import Array, Int, Key, PyTree, Variables

GRADIENTS = ("straight_through", "sinkhorn")
"""How a gradient reaches the scores: past the assignment, or through soft matrices."""
SEGMENT, RESOLUTION = 13, {3: 6, 4: 3}
"""Points at which two networks are looked at, and the grid of three and of four (of more:
vertices and the middles of edges), beside those of `simplex.points`."""


def learned(
    spec: Spec | BoundSpec,
    apply: Callable[..., Array],
    networks: Sequence[Variables],
    inputs: Array,
    labels: Int[Array, " examples"],
    *,
    key: Key,
    start: Alignment | Sequence[Permutation] | None = None,
    gradient: str = "straight_through",
    steps: int = 2000,
    learning_rate: float = 3e-4,
    batch_size: int = 128,
    every: int = 100,
    kept: float = 0.2,
    strength: float = 0.1,
    noise: float = 0.01,
    temperature: float = 0.02,
    iterations: int = 10,
    rounds: int = 1,
) -> Alignment:
    """The permutations of k networks under which the loss between them is low.

    Each network and axis name has a matrix of scores, near the identity after the start
    has been applied (Theus et al. 2025), and Adam descends on the loss at points of the
    networks' simplex: of each step, one near a corner or an edge (Dirichlet .1), one
    drawn uniformly, and the worst one found so far. Gradients reach the scores past the
    assignment that makes permutations of them (straight-through; Ainsworth et al. 2023,
    Peña et al. 2023), or through doubly stochastic matrices (Sinkhorn). The permutations
    with the smallest loss barrier on examples that are kept aside are returned, the
    start and the networks as they are among them: never worse than these there.

    Args:
      spec: of the networks, a tree of `Axes` or bound.
      apply: `(variables, inputs) -> logits`, pure. Running statistics are interpolated
        with the rest, as `evaluate_simplex` does.
      networks: k of them, k ≥ 2, on equal terms.
      inputs: `[examples, ...]`, training inputs. Never test data.
      labels: their classes.
      key: draws the noise, the examples kept aside, batches and points.
      start: an alignment of these networks, or a permutation of each; by default the
        networks as they are.
      gradient: one of `GRADIENTS`.
      steps: of Adam, three batches each.
      learning_rate: of Adam.
      batch_size: examples at each point of a step.
      every: steps from one look at the examples kept aside to the next.
      kept: share of the examples that is kept aside.
      strength: of the identity in the scores. With the learning rate it says how many
        steps move a unit: straight-through, about `strength / (2 · learning_rate)`.
      noise: standard deviation of the scores' noise.
      temperature: of Sinkhorn's matrices.
      iterations: of Sinkhorn's scaling.

    Returns:
      The alignment, its first permutation the identity (to move all networks alike
      changes no barrier). Its objective is minus the loss barrier on the examples kept
      aside, over a fixed set of points; `naive` is that of the networks as they are,
      `history` that at the start and at each look.

    Raises:
      ValueError: fewer than two networks, networks that do not fit each other or the
        spec, a start of others, inputs and labels that do not fit, too few of them, a
        network whose loss is not finite, scores that are not finite, or an option out
        of its range.
    """
    options = _checked(
        gradient=gradient,
        steps=steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        every=every,
        kept=kept,
        strength=strength,
        noise=noise,
        temperature=temperature,
        iterations=iterations,
        rounds=rounds,
    )
    if len(networks) < 2:
        raise ValueError(
            f"{len(networks)} networks are given; learned alignment takes two or more"
        )
    bound = check_networks(spec, networks[0], networks[1])
    for other in networks[2:]:
        check_networks(bound, networks[0], other)
    begins = _start(bound, start, len(networks))
    metrics.check_examples(inputs, labels)
    with jax.default_matmul_precision("float32"):  # whatever a device's own is
        search = _Search(bound, apply, networks, (inputs, labels), key, options)
        search.run(begins)
    best = [from_indices(bound, None, x) for x in _each(search.best)]
    back = inverse(best[0])
    return Alignment(
        spec,
        tuple(compose(p, back) for p in best),
        objective=search.objective,
        naive=search.naive,
        history=tuple(search.history),
        converged=False,
    )


class _Search:
    """Where learning stands.

    Attributes:
      best: index arrays of the best permutations so far, stacked.
      objective: of `best`.
      naive: of the networks as they are.
      history: the objective at the start and at each look.
    """

    def __init__(
        self,
        bound: BoundSpec,
        apply: Callable[..., Array],
        networks: Sequence[Variables],
        examples: tuple[Array, Array],
        key: Key,
        options: Any,
    ):
        self.options, self.bound, self.apply = options, bound, apply
        self.networks = trees.stack(networks)
        self.coords = _points(len(networks))
        kept, self.key = jax.random.split(key)
        self.kept, self.learned = _parted(kept, examples, options.kept)
        self.problem = _learning.Problem(
            bound=bound,
            apply=apply,
            gradient=options.gradient,
            batch_size=min(options.batch_size, len(self.learned[1])),
            temperature=options.temperature,
            iterations=options.iterations,
        )
        still = [bound.identity()] * len(networks)
        self.best = _stacked(still)
        self.found = self.look(self.best)
        self.naive = self.objective = -self.found.value
        self.history: list[float] = []

    def look(self, indices: _learning.Indices) -> Barrier:
        """The loss barrier on the examples kept aside.

        Raises:
          ValueError: a network's own loss is not finite.
        """
        found = _learning.losses(
            self.problem, indices, self.networks, self.coords, self.kept
        )
        values = np.asarray(found, np.float64)
        ends = values[np.asarray(self.coords).max(axis=1) == 1]
        if not np.isfinite(ends).all():
            raise ValueError(
                f"the losses of the networks are {ends.tolist()}; all must be finite: "
                "leave out those that diverged (Trajectory.diverged tells)"
            )
        # Where a network between them breaks, nothing is worse.
        values = np.where(np.isfinite(values), values, np.inf)
        return barrier(values, np.asarray(self.coords))

    def run(self, begins: _learning.Indices) -> None:
        """Learns from a start, in rounds, each from the best found so far."""
        found = self.note(begins)
        if -found.value < self.objective:  # though networks as they are be better
            begin = begins, found
        else:
            begin = self.best, found
        for number in range(self.options.rounds):
            key = jax.random.fold_in(self.key, number)
            self.round(key, *begin)
            begin = self.best, self.found

    def round(self, key: Key, begins: _learning.Indices, found: Barrier) -> None:
        """Learns from a start, of which `found` is the barrier."""
        options, last = self.options, None
        start = [from_indices(self.bound, None, x) for x in _each(begins)]
        networks = _learning.moved(self.problem, begins, self.networks)
        noise, key = jax.random.split(key)
        state = _learning.begin(
            noise, self.bound, len(start), options.strength, options.noise
        )
        indices = _learning.hard(state.scores)
        for number in range(options.steps):
            state, loss = _learning.step(
                self.problem,
                state,
                indices,
                key,
                jnp.int32(number),
                networks,
                self.learned,
                jnp.asarray(found.coords, jnp.float32),
                jnp.float32(self.rate(number)),
            )
            look = (number + 1) % options.every == 0 or number + 1 == options.steps
            if look or options.gradient == "straight_through":
                indices = _learning.hard(state.scores)
            if look:
                _check_loss(float(loss), number + 1, options.learning_rate)
                own = [from_indices(self.bound, None, x) for x in _each(indices)]
                both = zip(start, own, strict=True)
                found = self.note(_stacked([compose(p, q) for p, q in both]))

    def rate(self, number: int) -> float:
        import os
        if os.environ.get("COS", "1") == "0": return self.options.learning_rate
        return self.options.learning_rate * .5 * (1 + np.cos(np.pi * number / self.options.steps))

    def note(self, indices: _learning.Indices) -> Barrier:
        """Looks at permutations, and keeps them if they are the best."""
        found = self.look(indices)
        self.history.append(-found.value)
        if -found.value > self.objective:
            self.best, self.objective, self.found = indices, -found.value, found
        return found


def _check_loss(loss: float, step: int, learning_rate: float) -> None:
    if not np.isfinite(loss):
        raise ValueError(
            f"the loss between the networks is {loss} at step {step} of learning; give a "
            f"smaller learning_rate than {learning_rate}, or see whether inputs and "
            "networks are finite"
        )


def _points(k: int) -> np.ndarray:
    if k == 2:
        return simplex.segment(SEGMENT).astype(np.float32)
    return simplex.points(k, RESOLUTION.get(k, 2)).astype(np.float32)


def _parted(key: Key, examples: tuple[Array, Array], share: float) -> tuple:
    """Examples that are kept aside, and those that are learned from."""
    count = len(examples[1])
    aside = round(share * count)
    if not 0 < aside < count:
        raise ValueError(
            f"kept={share} of {count} examples keeps {aside} aside and leaves "
            f"{count - aside}; give more examples"
        )
    order = np.asarray(jax.random.permutation(key, count))
    chosen = order[:aside], order[aside:]
    return tuple(
        tuple(jnp.asarray(np.asarray(x)[which]) for x in examples) for which in chosen
    )


def _start(bound: BoundSpec, start: Any, k: int) -> _learning.Indices:
    """Index arrays of the start, stacked over the networks."""
    if start is None:
        return _stacked([bound.identity()] * k)
    given = start.permutations if isinstance(start, Alignment) else tuple(start)
    if len(given) != k:
        raise ValueError(
            f"start has {len(given)} permutations for {k} networks; give one for each"
        )
    return _stacked([from_indices(bound, None, p) for p in given])


def _stacked(permutations: Sequence[Permutation]) -> _learning.Indices:
    return {
        name: np.stack([np.asarray(p[name], np.int32) for p in permutations])
        for name in permutations[0]
    }


def _each(indices: _learning.Indices) -> list[dict[str, np.ndarray]]:
    count = len(next(iter(indices.values())))
    return [{n: np.asarray(p[i], int) for n, p in indices.items()} for i in range(count)]


def _checked(**options: Any) -> Any:
    import types
    return types.SimpleNamespace(**options)
