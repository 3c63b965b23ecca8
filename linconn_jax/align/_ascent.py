"""Coordinate ascent: one name's units are assigned after the other, with what lies under.

Heads are alike as far as their insides can be made alike: the similarity of two units of
a parent is their own plus that of the best assignment of each child inside the two. Once
the parent's units are assigned, the children follow with the assignments found there.

Similarities are arrays `[*fixed, (a, a') of each free name, i, j]`: the gain of putting
the other's unit j in the reference's place i, for each index of the parents that stay as
they are (fixed), and for each pair of places of the parents that are being assigned
(free; the outermost first).
"""

import abc
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from linconn_jax.align import assignment
from linconn_jax.align.alignment import Alignment
from linconn_jax.permutation import BoundSpec, Permutation, Spec
from linconn_jax.typing import Float, Int

Names = tuple[str, ...]
Parents = Mapping[str, Names]
Indices = dict[str, Int[np.ndarray, "..."]]


class Ascent(abc.ABC):
    """Where an ascent stands.

    Attributes:
      bound: spec of the networks.
      parents: of the names that are assigned.
      still: the identity.
      found: the permutation so far.
      naive: the objective at the identity.
    """

    def __init__(self, bound: BoundSpec, parents: Parents):
        self.bound, self.parents = bound, parents
        self.found = self.still = bound.identity()
        self.naive = self.objective()

    @abc.abstractmethod
    def objective(self) -> float:
        """What is to be maximised, at `found`."""

    @abc.abstractmethod
    def improve(self, name: str) -> bool:
        """Assigns the units of a name, and those under it, if that gains anything."""

    @abc.abstractmethod
    def similarity(
        self, name: str, fixed: Names, free: Names
    ) -> Float[np.ndarray, "fixed units units"] | None:
        """Of a name's units under all free parents, or None if nothing tells them apart.

        Without what its children add, for each index of the fixed parents.
        """

    def climb(
        self,
        spec: Spec | BoundSpec,
        orders: Iterable[list[str]],
        *,
        exact: bool = False,
    ) -> Alignment:
        """Goes through the names, in one order after the other, until none gains.

        `exact` says that one sweep is enough.
        """
        history, improved = [], True
        for names in orders:
            improved = any([self.improve(name) for name in names]) and not exact
            history.append(self.objective())
            if not improved:
                break
        return Alignment(
            spec,
            (self.still, self.found),
            objective=(history or [self.objective()])[-1],
            naive=self.naive,
            history=tuple(history),
            converged=not improved,
        )

    def step(self, indices: Mapping[str, Any]) -> Permutation:
        """The permutation that moves these names only."""
        return self.still.replace({**self.still, **indices})

    def best(self, name: str) -> tuple[Indices, float, float]:
        """The best assignment of a name with all that lies under it.

        Returns:
          Index arrays of the name and its descendants, what they gain over the identity,
          and the scale of the similarities.
        """
        inside = _Inside(self)
        total = inside.similarity(name, ())
        indices = {name: assignment.maximize(total)}
        reached = float(assignment.value(total, indices[name]).sum())
        for child, (similarity, free) in reversed(inside.below.items()):
            chosen = inside.chosen(similarity, child, free, indices)
            indices[child] = assignment.maximize(chosen)
        scale = float(np.abs(total).max(axis=-1, initial=0).sum())
        return indices, reached - inside.at_identity, scale

    def fixed(self, name: str, free: Names) -> Names:
        """The parents of a name that stay as they are."""
        return tuple(x for x in self.parents[name] if x not in free)

    def direct(self, name: str, free: Names) -> Float[np.ndarray, "..."]:
        """A name's own similarity, `[*fixed, (a, a') of each free name, i, j]`."""
        fixed, sizes = self.fixed(name, free), self.bound.sizes
        stay, units = [sizes[x] for x in fixed], [sizes[x] for x in (*free, name)]
        shape = (*stay, *units, *units)
        found = self.similarity(name, fixed, free)
        array = np.zeros(shape) if found is None else found.reshape(shape)
        half = len(stay) + len(units)
        ends = zip(range(len(stay), half), range(half, len(shape)), strict=True)
        return array.transpose(*range(len(stay)), *itertools.chain(*ends))


class _Inside:
    """Similarities of a name and of its descendants.

    Attributes:
      below: of each descendant, after its own, the similarity and the free parents.
      at_identity: sum of all similarities where nothing is moved.
    """

    def __init__(self, ascent: Ascent):
        self.ascent = ascent
        self.below: dict[str, tuple[np.ndarray, Names]] = {}
        self.at_identity = 0.0

    def similarity(self, name: str, free: Names) -> Float[np.ndarray, "..."]:
        """Of a name whose parents in `free` are being assigned, children included."""
        total = self.ascent.direct(name, free)
        here = self.chosen(total, name, free, {})
        self.at_identity += float(np.trace(here, axis1=-2, axis2=-1).sum())
        fixed = self.ascent.fixed(name, free)
        below = (*free, name)
        for child in children(name, self.ascent.parents):
            if child in self.below:  # it lies under two names beside each other
                continue
            inner = self.similarity(child, below)
            self.below[child] = inner, below
            value = assignment.value(inner, assignment.maximize(inner))
            also = self.ascent.fixed(child, below)
            kept = [x for x in also if x in fixed]
            value = value.sum(tuple(i for i, x in enumerate(also) if x not in fixed))
            total = total + np.moveaxis(
                value, [kept.index(x) for x in fixed], range(len(fixed))
            )
        return total

    def chosen(
        self, similarity: np.ndarray, name: str, free: Names, steps: Mapping[str, Any]
    ) -> Float[np.ndarray, "..."]:
        """`[*parents, i, j]` at the pairs that `steps` put together (else the same)."""
        parents, sizes = self.ascent.parents, self.ascent.bound.sizes
        order = (*self.ascent.fixed(name, free), *free)
        places = np.ix_(*(np.arange(sizes[x]) for x in order))
        grid = dict(zip(order, places, strict=True))
        index = [grid[x] for x in order if x not in free]
        for x in free:
            above = tuple(grid[y] for y in parents[x])
            index += [grid[x], steps[x][(*above, grid[x])] if x in steps else grid[x]]
        picked = similarity[tuple(index)]
        return np.moveaxis(
            picked, [order.index(x) for x in parents[name]], range(len(order))
        )


def children(name: str, parents: Parents) -> list[str]:
    """The names that lie under `name` with no other name between."""
    below = [x for x, above in parents.items() if name in above]
    return [x for x in below if not any(y in parents[x] for y in below)]


def chained(parents: Parents) -> bool:
    """Whether each name's parents lie one inside the other, so that `best` is exact."""
    above = {name: [x for x in parents[name] if x in parents] for name in parents}
    return all(
        outer in above[inner]
        for chain in above.values()
        for outer, inner in itertools.pairwise(chain)
    )
