"""The search of learned alignment: rounds of descent, and the best of all looks."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import checks, simplex, trees
from linconn_jax.align import _learning
from linconn_jax.align._examples import check_loss
from linconn_jax.align._families import Parents
from linconn_jax.align._options import staying
from linconn_jax.barrier import Barrier, barrier
from linconn_jax.permutation import BoundSpec, Permutation, compose
from linconn_jax.typing import Array, Float, Key, Variables

RATES = {"sinkhorn": 0.1, "straight_through": 0.015}
"""How a gradient reaches the scores, and Adam's learning rate by default."""
SEGMENT, RESOLUTION = 13, {3: 6, 4: 3}
"""Points at which two networks are looked at, and the grid of three and of four (of more:
vertices and the middles of edges), beside the others of `simplex.points`."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Of `learned`, checked."""

    gradient: str
    steps: int
    rounds: int
    every: int
    learning_rate: float
    batch_size: int
    kept: float
    strength: float
    noise: float

    def __post_init__(self) -> None:
        above = checks.number(above=0)
        kinds = {
            "gradient": checks.one_of(*RATES),
            **dict.fromkeys(("steps",), checks.whole(0)),
            **dict.fromkeys(("rounds", "every", "batch_size"), checks.whole(1)),
            **dict.fromkeys(("learning_rate", "strength"), above),
            "kept": checks.number(above=0, below=1),
            "noise": checks.number(0),
        }
        for name, kind in kinds.items():
            value = checks.check(name, getattr(self, name), kind)
            object.__setattr__(self, name, value)


class Search:
    """Where learning stands.

    Attributes:
      best: the best permutations so far.
      found: their barrier, on the examples kept aside.
      naive: that of the networks as they are.
      history: minus the barrier at the start and at each look.
    """

    def __init__(
        self,
        bound: BoundSpec,
        parents: Parents,
        apply: Callable[..., Array],
        networks: Sequence[Variables],
        examples: tuple[Array, Array],
        key: Key,
        options: Options,
    ):
        check_loss(bound, apply, networks, *examples)
        self.bound, self.parents, self.options = bound, parents, options
        self.networks = trees.stack(networks)
        self.coords = _points(len(networks))
        key, self.key = jax.random.split(key)
        self.kept, self.learned = _parted(key, examples, options.kept)
        self.problem = _learning.Problem(
            bound, apply, options.gradient, options.batch_size
        )
        self.best = [bound.identity()] * len(networks)
        self.found = self.naive = self.look(self.best)
        self.history: list[float] = []

    def look(self, permutations: Sequence[Permutation]) -> Barrier:
        """The loss barrier on the examples kept aside.

        Raises:
          ValueError: a network's own loss is not finite.
        """
        found = _learning.losses(
            self.problem,
            _stacked(permutations),
            self.networks,
            self.coords.astype(np.float32),
            self.kept,
        )
        values, ends = np.asarray(found, np.float64), self.coords.max(axis=1) == 1
        if not np.isfinite(values[ends]).all():
            raise ValueError(
                f"the losses of the networks themselves are {values[ends].tolist()}; "
                "leave out those that diverged (Trajectory.diverged tells)"
            )
        # Nothing is worse than a network that breaks.
        return barrier(np.where(np.isfinite(values), values, np.inf), self.coords)

    def note(self, permutations: Sequence[Permutation]) -> Barrier:
        """Looks at permutations, and keeps them if they are the best."""
        found = self.look(permutations)
        self.history.append(-found.value)
        if found.value < self.found.value:
            self.best, self.found = [*permutations], found
        return found

    def run(self, start: Sequence[Permutation]) -> bool:
        """Learns, from the start and then from the best; whether the end was in vain."""
        held = [staying(self.bound, self.parents, x) for x in start]
        if held != self.best:
            self.best, self.found = held, self.look(held)
        begins, found, before = start, self.note(start), self.found
        rounds = self.options.rounds
        for number in range(rounds):
            before = self.found
            steps = (number + 1) * self.options.steps // rounds
            steps -= number * self.options.steps // rounds
            self.learn(jax.random.fold_in(self.key, number), steps, begins, found)
            begins, found = self.best, self.found
        return self.found is before

    def learn(
        self, key: Key, steps: int, start: Sequence[Permutation], found: Barrier
    ) -> None:
        """One round, from permutations whose barrier has been found."""
        options = self.options
        networks = _learning.moved(self.problem, _stacked(start), self.networks)
        noise, points, key = jax.random.split(key, 3)
        drawn = _learning.drawn(points, steps, len(start))
        state = _learning.begin(
            *(noise, self.bound, self.parents, len(start)),
            *(options.strength, options.noise),
        )
        indices = _learning.hard(state.scores)
        for number in range(steps):
            state, loss = _learning.step(
                self.problem,
                state,
                indices,
                key,
                np.int32(number),
                networks,
                self.learned,
                np.float32([*drawn[number], found.coords]),
                np.float32(options.learning_rate),
            )
            look = (number + 1) % options.every == 0 or number + 1 == steps
            if look or options.gradient == "straight_through":
                _check_loss(loss, number + 1, options.learning_rate)
                indices = _learning.hard(state.scores)
            if look:
                both = zip(start, self.each(indices), strict=True)
                found = self.note([compose(p, q) for p, q in both])

    def each(self, indices: _learning.Indices) -> list[Permutation]:
        """Permutations from stacked index arrays."""
        still = self.bound.identity()
        own = (
            {x: np.asarray(p[i], int) for x, p in indices.items()}
            for i in range(len(self.best))
        )
        return [still.replace({**still, **one}) for one in own]


def _stacked(permutations: Sequence[Permutation]) -> _learning.Indices:
    """Index arrays of several permutations, stacked."""
    return {
        name: np.stack([np.asarray(p[name], np.int32) for p in permutations])
        for name in permutations[0]
    }


def _points(count: int) -> Float[np.ndarray, "points networks"]:
    """Where the barrier is looked for."""
    if count == 2:
        return simplex.segment(SEGMENT)
    return simplex.points(count, RESOLUTION.get(count, 2))


def _parted(key: Key, examples: tuple[Array, Array], share: float) -> tuple:
    """Examples that are kept aside, and those that are learned from."""
    count = len(examples[1])
    aside = round(share * count)
    if not 0 < aside < count:
        raise ValueError(
            f"kept={share} of {count} examples keeps {aside} aside and leaves "
            f"{count - aside} to learn from; give more examples"
        )
    order = np.asarray(jax.random.permutation(key, count))
    return tuple(
        tuple(jnp.asarray(np.asarray(x)[which]) for x in examples)
        for which in (order[:aside], order[aside:])
    )


def _check_loss(loss: Array, step: int, learning_rate: float) -> None:
    if not np.isfinite(loss):
        raise ValueError(
            f"the loss between the networks is {loss} at step {step} of a round; give a "
            f"learning_rate below {learning_rate}, or see whether inputs and networks "
            "are finite"
        )
