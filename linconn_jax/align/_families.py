"""The best assignment of a name's units together with all that lies under it.

Heads are alike as far as their insides can be made alike: the similarity of two units of
a parent is their own plus that of the best assignment of each child inside the two. Once
the parent's units are assigned, the children follow with the assignments found there.

Inside, similarities are arrays `[*fixed, (a, a') of each free name, i, j]`: the gain of
putting the other's unit j in the reference's place i, for each index of the parents that
stay as they are (fixed), and for each pair of places of the parents that are being
assigned (free; the outermost first).
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from linconn_jax.align import assignment
from linconn_jax.permutation import BoundSpec
from linconn_jax.typing import Float, Int

Names = tuple[str, ...]
Parents = Mapping[str, Names]
Indices = dict[str, Int[np.ndarray, "..."]]
Similarity = Callable[[str], Float[np.ndarray, "points points"] | None]
"""Of the units of a name under all its parents, without what its children add; None of a
parent that is only as alike as what lies under it."""


def best(
    bound: BoundSpec, parents: Parents, name: str, similarity: Similarity
) -> tuple[Indices, float, float]:
    """The best assignment of a name with all that lies under it.

    Returns:
      Index arrays of the name and its descendants, what they gain over the identity, and
      the scale of the similarities.
    """
    inside = _Inside(bound, parents, similarity)
    total = inside.similarity(name, ())
    indices = {name: assignment.maximize(total)}
    reached = float(assignment.value(total, indices[name]).sum())
    for child, (between, free) in reversed(inside.below.items()):
        chosen = inside.chosen(between, child, free, indices)
        indices[child] = assignment.maximize(chosen)
    scale = float(np.abs(total).max(axis=-1, initial=0).sum())
    return indices, reached - inside.at_identity, scale


class _Inside:
    """Similarities of a name and of its descendants.

    Attributes:
      below: of each descendant, after its own, the similarity and the free parents.
      at_identity: sum of all similarities where nothing is moved.
    """

    def __init__(self, bound: BoundSpec, parents: Parents, similarity: Similarity):
        self.bound, self.parents, self.of = bound, parents, similarity
        self.below: dict[str, tuple[np.ndarray, Names]] = {}
        self.at_identity = 0.0

    def similarity(self, name: str, free: Names) -> Float[np.ndarray, "..."]:
        """Of a name whose parents in `free` are being assigned, children included."""
        total = self._own(name, free)
        here = self.chosen(total, name, free, {})
        self.at_identity += float(np.trace(here, axis1=-2, axis2=-1).sum())
        fixed = self._fixed(name, free)
        below = (*free, name)
        for child in children(name, self.parents):
            if child in self.below:  # it lies under two names beside each other
                continue
            inner = self.similarity(child, below)
            self.below[child] = inner, below
            value = assignment.value(inner, assignment.maximize(inner))
            also = self._fixed(child, below)
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
        if not self.parents[name]:
            return similarity
        parents, sizes = self.parents, self.bound.sizes
        order = (*self._fixed(name, free), *free)
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

    def _fixed(self, name: str, free: Names) -> Names:
        """The parents of a name that stay as they are."""
        return tuple(x for x in self.parents[name] if x not in free)

    def _own(self, name: str, free: Names) -> Float[np.ndarray, "..."]:
        """A name's own similarity, `[*fixed, (a, a') of each free name, i, j]`."""
        fixed, sizes = self._fixed(name, free), self.bound.sizes
        pairs = (*free, name)
        found = self.of(name)
        if found is None:
            twice = [sizes[x] for x in pairs for _ in range(2)]
            return np.zeros([*(sizes[x] for x in fixed), *twice])
        axes, shape = (*self.parents[name], name), self.bound.shape(name)
        row = {x: i for i, x in enumerate(axes)}
        column = {x: i if x in fixed else i + len(axes) for x, i in row.items()}
        wanted = [row[x] for x in fixed]
        wanted += itertools.chain(*((row[x], column[x]) for x in pairs))
        both = found.reshape(*shape, *shape)
        return np.einsum(both, [*row.values(), *column.values()], wanted)


def children(name: str, parents: Parents) -> list[str]:
    """The names that lie under `name` with no other name between."""
    below = [x for x, above in parents.items() if name in above]
    return [x for x in below if not any(y in parents[x] for y in below)]


def family(name: str, parents: Parents) -> set[str]:
    """A name and all that lies under it."""
    return {name} | {x for x, above in parents.items() if name in above}


def chained(parents: Parents) -> bool:
    """Whether each name's parents lie one inside the other, so that `best` is exact."""
    above = {name: [x for x in parents[name] if x in parents] for name in parents}
    return all(
        outer in above[inner]
        for chain in above.values()
        for outer, inner in itertools.pairwise(chain)
    )
