"""The compiled programs of learned alignment: one step, and the loss at fixed points."""

import dataclasses
import functools
from collections.abc import Callable, Collection

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import metrics, trees
from linconn_jax.align import assignment
from linconn_jax.align._soft import sinkhorn, soft_permute, straight_through
from linconn_jax.permutation import BoundSpec, permute
from linconn_jax.typing import Array, Float, Int, Key, PyTree

Scores = dict[str, Float[Array, "..."]]
Indices = dict[str, Int[Array, "..."]]

DIRICHLET = (0.1, 1.0)
"""Parameters of the Dirichlet distributions from which a step's points are drawn."""
ITERATIONS = 10
"""Of Sinkhorn's scaling, rows and columns each."""
FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba 2015)."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """What the programs are compiled for.

    Attributes:
      bound: spec of the networks.
      apply: `(variables, inputs) -> logits`.
      gradient: "straight_through" or "sinkhorn".
      batch_size: examples at each point of a step.
    """

    bound: BoundSpec
    apply: Callable[..., Array]
    gradient: str
    batch_size: int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Scores `{axis name: [networks, *parents, units, units]}` and Adam's moments."""

    scores: Scores
    first: Scores
    second: Scores


def begin(
    key: Key,
    bound: BoundSpec,
    names: Collection[str],
    networks: int,
    strength: float,
    noise: float,
) -> State:
    """Scores of some names, near the identity: `strength` times it plus normal noise."""
    keys = jax.random.split(key, len(names))
    scores = {}
    for one, name in zip(keys, names, strict=True):
        units = bound.sizes[name]
        drawn = jax.random.normal(one, (networks, *bound.shape(name), units))
        still = np.eye(units, dtype=np.float32)
        scores[name] = jnp.asarray(strength * np.broadcast_to(still, drawn.shape)) + (
            noise * drawn
        )
    nothing = jax.tree.map(jnp.zeros_like, scores)
    return State(scores, nothing, jax.tree.map(jnp.copy, nothing))


def hard(scores: Scores) -> Indices:
    """The permutations with the largest scores, on the host.

    Where the best of each row are a permutation it is the best one, and nothing has to
    be solved: so it is near the identity.
    """
    found = {}
    for name, stacked in scores.items():
        stacked = np.asarray(stacked)
        units = stacked.shape[-1]
        flat = stacked.reshape(-1, units, units)
        index = flat.argmax(axis=-1)
        open_ = (np.sort(index, axis=-1) != np.arange(units)).any(axis=-1)
        if open_.any() or not np.isfinite(flat).all():
            index[open_] = assignment.maximize(flat[open_])
        found[name] = index.reshape(stacked.shape[:-1]).astype(np.int32)
    return found


def drawn(key: Key, steps: int, networks: int) -> Float[np.ndarray, "steps points k"]:
    """Points for each step, one from each of `DIRICHLET`, on the host."""
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    each = [
        generator.dirichlet(np.full(networks, x), steps).astype(np.float32)
        for x in DIRICHLET
    ]
    return np.stack(each, axis=1)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def step(
    problem: Problem,
    state: State,
    indices: Indices,
    key: Key,
    number: Int[Array, ""],
    networks: PyTree,
    examples: tuple[Array, Array],
    points: Float[Array, "points networks"],
    learning_rate: Float[Array, ""],
) -> tuple[State, Float[Array, ""]]:
    """One step of Adam on the mean loss at a few points.

    Args:
      problem: what is learned.
      state: before the step.
      indices: `hard(state.scores)`, which Sinkhorn's does not look at.
      key: the same in all steps.
      number: of the step, from 0.
      networks: stacked.
      examples: inputs and labels from which batches are drawn, with replacement.
      points: coordinates of the points, whose losses are averaged.
      learning_rate: of Adam.

    Returns:
      The state after the step, and the loss.
    """
    shape = (len(points), problem.batch_size)
    key = jax.random.fold_in(key, number)
    chosen = jax.random.randint(key, shape, 0, len(examples[1]))

    def loss(networks: PyTree) -> Array:
        each = [
            _loss(problem, trees.combine(row, networks), examples, which)
            for row, which in zip(points, chosen, strict=True)
        ]
        return jnp.stack(each).mean()

    if problem.gradient == "sinkhorn":
        value, gradient = jax.value_and_grad(
            lambda scores: loss(_soft(problem, scores, networks))
        )(state.scores)
    else:
        there = moved(problem, indices, networks)
        value, pull = jax.value_and_grad(loss, allow_int=True)(there)
        back = functools.partial(straight_through, problem.bound)
        gradient = jax.vmap(back)(pull, there, indices)
    return _adam(state, gradient, number, learning_rate), value


def _loss(
    problem: Problem,
    variables: PyTree,
    examples: tuple[Array, Array],
    which: Int[Array, " batch"],
) -> Array:
    inputs, labels = examples
    logits = problem.apply(variables, jnp.take(inputs, which, axis=0))
    found = metrics.cross_entropy(logits.astype(jnp.float32), labels[which])
    return found.mean()


def _soft(problem: Problem, scores: Scores, networks: PyTree) -> PyTree:
    matrices = {name: sinkhorn(x, ITERATIONS) for name, x in scores.items()}
    act = functools.partial(soft_permute, problem.bound)
    return jax.vmap(act)(matrices, networks)


@functools.partial(jax.jit, static_argnums=0)
def moved(problem: Problem, indices: Indices, networks: PyTree) -> PyTree:
    """Stacked networks, each permuted; names without indices stay."""
    bound = problem.bound
    still = bound.identity()

    def one(own: Indices, network: PyTree) -> PyTree:
        return permute(bound, still.replace({**still, **own}), network)

    return jax.vmap(one)(indices, networks)


def _adam(state: State, gradient: Scores, number: Array, learning_rate: Array) -> State:
    count = (number + 1).astype(jnp.float32)

    def mean(old: Array, new: Array, keep: float) -> Array:
        return keep * old + (1 - keep) * new

    first = jax.tree.map(lambda m, g: mean(m, g, FIRST), state.first, gradient)
    second = jax.tree.map(lambda v, g: mean(v, g * g, SECOND), state.second, gradient)

    def moved(score: Array, m: Array, v: Array) -> Array:
        m, v = m / (1 - FIRST**count), v / (1 - SECOND**count)
        return score - learning_rate * m / (jnp.sqrt(v) + EPSILON)

    return State(jax.tree.map(moved, state.scores, first, second), first, second)


@functools.partial(jax.jit, static_argnums=0)
def losses(
    problem: Problem,
    indices: Indices,
    networks: PyTree,
    coords: Float[Array, "points networks"],
    examples: tuple[Array, Array],
) -> Float[Array, " points"]:
    """Mean loss on all examples at each point between permuted networks."""
    there = moved(problem, indices, networks)
    everything = jnp.arange(len(examples[1]))

    def at(row: Array) -> Array:
        return _loss(problem, trees.combine(row, there), examples, everything)

    return jax.lax.map(at, coords)
