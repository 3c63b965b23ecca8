"""Coordinate ascent: one name's units of one network are assigned after the other.

What is climbed is a sum of terms, which keep the similarity of each name's units. A name
is looked at again only if its similarity is another than when it was last assigned.
"""

import copy
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Protocol, runtime_checkable

import numpy as np

from linconn_jax import threads
from linconn_jax.align._families import Parents, best, family
from linconn_jax.permutation import BoundSpec, Permutation, compose
from linconn_jax.typing import Float

Site = tuple[int, str]
"""A network's number and a name: what one assignment moves."""
Climb = tuple[list[float], bool]
"""The objective after each sweep, and whether nothing was left to gain."""
Accepts = Callable[[float, float], bool]
"""Whether an assignment that gains so much, at that scale of similarities, is taken."""

WIDE = 512
"""Units of a name from which runs go side by side in threads. Narrower ones are faster
one after the other: Python holds its lock for longer than products and assignments free
it."""


@runtime_checkable
class Term(Protocol):
    """A part of what is to be maximised.

    Similarities are of the networks as they stand: rows are units of the others (of their
    sum), columns those of network i.
    """

    def similarity(
        self, i: int, name: str
    ) -> Float[np.ndarray, "points points"] | None:
        """Of the units of a name of network i under all its parents, in float64.

        Without what its children add; None if nothing tells the units apart.
        """

    def step(self, i: int, step: Permutation, names: Set[str]) -> Set[Site]:
        """Moves network i; returns where similarities changed, in more than order."""

    def is_linear(self, name: str) -> bool:
        """Whether the similarities say exactly what an assignment gains."""

    def gain(self, i: int, step: Permutation, names: Set[str]) -> float:
        """What a step gains, where the similarities do not say it."""

    def objective(self) -> float:
        """The term's value, as the networks stand."""

    def copied(self) -> "Term":
        """One that goes on from here by itself."""


class Ascent:
    """Where an ascent stands.

    Attributes:
      parents: of the names that are assigned.
      moving: numbers of the networks that are permuted.
      found: the permutation of each network so far.
      value: the objective, by what the steps have gained.
      settled: networks and names that have nothing to gain as things are.
    """

    def __init__(
        self,
        bound: BoundSpec,
        parents: Parents,
        terms: Sequence[Term],
        moving: Sequence[int],
        accepts: Accepts,
    ):
        self.bound, self.parents, self.terms = bound, parents, list(terms)
        self.moving, self.accepts = tuple(moving), accepts
        self.still = bound.identity()
        self.found = [self.still] * (max(moving) + 1)
        self.value = self.objective()
        self.settled: set[Site] = set()

    def copied(self) -> "Ascent":
        """One that goes on from here by itself."""
        other = copy.copy(self)
        other.terms = [term.copied() for term in self.terms]
        other.found, other.settled = list(self.found), set(self.settled)
        return other

    def objective(self) -> float:
        """What is to be maximised, computed from the networks as they stand."""
        return sum((term.objective() for term in self.terms), 0.0)

    def improve(self, site: Site) -> bool:
        """Assigns the units of a name, and those under it, if that gains anything."""
        i, name = site
        if site in self.settled:
            return False
        self.settled.add(site)
        similarity = functools.partial(self._similarity, i)
        indices, gain, scale = best(self.bound, self.parents, name, similarity)
        if not self.accepts(gain, scale):
            return False
        step = self.still.replace({**self.still, **indices})
        if not all(term.is_linear(name) for term in self.terms):
            # Where names meet that move together, the objective is quadratic in the
            # permutation: the linear assignment is only a proposal there.
            gain = sum(term.gain(i, step, indices.keys()) for term in self.terms)
            if not self.accepts(gain, scale):
                return False
        self.move(i, step, gain)
        return True

    def move(self, i: int, step: Permutation, gain: float = 0.0) -> None:
        """Goes on from where a step of network i leads."""
        names = {name for name in step if (step[name] != self.still[name]).any()} & {
            *self.still
        }
        changed = {x for term in self.terms for x in term.step(i, step, names)}
        for j, name in changed:
            self.settled -= {(j, x) for x in self._upwards(name)}
        self.settled -= {
            (i, x) for y in names for x in self._upwards(y) if x not in names
        }
        self.found[i] = compose(self.found[i], step)
        self.value += gain

    def climb(self, orders: Iterable[Sequence[Site]]) -> Climb:
        """Goes through the names, in one order after the other, until none gains.

        Returns:
          The objective after each sweep, by what the steps have gained, and whether
          nothing was left to gain.
        """
        history, improved = [], True
        for sites in orders:
            improved = any([self.improve(site) for site in sites])
            history.append(self.value)
            if not improved:
                break
        return history, not improved

    def each(self, ways: Sequence[Callable[["Ascent"], Climb]]) -> "list[Run]":
        """Several climbs from here, side by side."""
        if len(ways) > 1:
            for i, name in itertools.product(self.moving, self.parents):
                for term in self.terms:
                    term.similarity(i, name)  # which all of them begin with
        return side_by_side(self.bound, functools.partial(_run, self), ways)

    def _similarity(
        self, i: int, name: str
    ) -> Float[np.ndarray, "points points"] | None:
        found = [term.similarity(i, name) for term in self.terms]
        there = [x for x in found if x is not None]
        return sum(there[1:], there[0]) if there else None

    def _upwards(self, name: str) -> list[str]:
        """A name and those under which it lies: what its similarity enters."""
        return [x for x in self.parents if name in family(x, self.parents)]


@dataclasses.dataclass(frozen=True)
class Run:
    """A climb to its end.

    Attributes:
      found: the permutation of each network.
      objective: computed from the networks at the end, from which the sum of what many
        steps have gained may differ by rounding.
      history: the objective after each sweep, the last as `objective`.
      converged: whether nothing was left to gain.
    """

    found: tuple[Permutation, ...]
    objective: float
    history: tuple[float, ...]
    converged: bool


def _run(ascent: Ascent, way: Callable[[Ascent], Climb]) -> Run:
    ascent = ascent.copied()
    history, converged = way(ascent)
    reached = ascent.objective()
    history[-1:] = [reached] * bool(history)
    return Run(tuple(ascent.found), reached, tuple(history), converged)


def side_by_side(
    bound: BoundSpec, function: Callable[[Any], Any], items: Sequence[Any]
) -> list[Any]:
    """What the function makes of each item; in threads where networks are wide."""
    if max(bound.sizes.values(), default=0) < WIDE:
        return [function(x) for x in items]
    return threads.mapped(function, items)
