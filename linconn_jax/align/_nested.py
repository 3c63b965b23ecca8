"""Assignment of a name's units together with whatever lies under it.

Heads are alike as far as their insides can be made alike: the similarity of two units of
a parent is their own plus that of the best assignment of each child inside the two. Once
the parent's units are assigned, the children follow with the assignments found there.

Similarities are arrays `[*fixed, (a, a') of each free name, i, j]`: the gain of putting
the other's unit j in the reference's place i, for each index of the parents that stay as
they are (fixed), and for each pair of places of the parents that are being assigned
(free; the outermost first).
"""

import itertools
from collections.abc import Callable, Mapping

import numpy as np

from linconn_jax.align import assignment
from linconn_jax.typing import Float, Int

Parents = Mapping[str, tuple[str, ...]]
Direct = Callable[[str, tuple[str, ...]], Float[np.ndarray, "..."]]
"""`direct(name, free)`: a name's own similarity, without its children's."""
Steps = dict[str, Int[np.ndarray, "..."]]


def best(
    name: str, parents: Parents, sizes: Mapping[str, int], direct: Direct
) -> tuple[Steps, float, float, float]:
    """The best assignment of a name with all that lies under it.

    Returns:
      Index arrays of the name and its descendants, the value there, the value at the
      identity, and the scale of the similarities.
    """
    inside = _Inside(parents, sizes, direct)
    total = inside.similarity(name, ())
    steps = {name: assignment.maximize_each(total)}
    reached = float(assignment.value(total, steps[name]).sum())
    for child, free in inside.below:
        chosen = inside.chosen(inside.found[child], child, free, steps)
        steps[child] = assignment.maximize_each(chosen)
    return steps, reached, inside.at_identity, _scale(total)


def pairs(
    matrix: Float[np.ndarray, "..."], fixed: int, free: int
) -> Float[np.ndarray, "..."]:
    """`[*fixed, *free, i, *free', j]` as `[*fixed, (a, a') of each free, i, j]`."""
    half = fixed + free + 1
    order = [x for i in range(fixed, half) for x in (i, half + i - fixed)]
    return matrix.transpose(*range(fixed), *order)


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


class _Inside:
    """Similarities of a name and of its descendants, parents before children."""

    def __init__(self, parents: Parents, sizes: Mapping[str, int], direct: Direct):
        self.parents, self.sizes, self.direct = parents, sizes, direct
        self.below: list[tuple[str, tuple[str, ...]]] = []
        self.found: dict[str, np.ndarray] = {}
        self.at_identity = 0.0

    def similarity(self, name: str, free: tuple[str, ...]) -> Float[np.ndarray, "..."]:
        """Of a name whose parents in `free` are being assigned, children included."""
        total = self.direct(name, free)
        here = self.chosen(total, name, free, {})
        self.at_identity += float(np.trace(here, axis1=-2, axis2=-1).sum())
        fixed = self.fixed(name, free)
        below = (*free, name)
        for child in children(name, self.parents):
            if child in self.found:  # it lies under two names beside each other
                continue
            self.below.append((child, below))
            inner = self.found[child] = self.similarity(child, below)
            value = assignment.value(inner, assignment.maximize_each(inner))
            also = self.fixed(child, below)
            kept = [x for x in also if x in fixed]
            value = value.sum(tuple(i for i, x in enumerate(also) if x not in fixed))
            total = total + np.moveaxis(
                value, [kept.index(x) for x in fixed], range(len(fixed))
            )
        return total

    def fixed(self, name: str, free: tuple[str, ...]) -> tuple[str, ...]:
        """The parents of a name that stay as they are."""
        return tuple(x for x in self.parents[name] if x not in free)

    def chosen(
        self, similarity: np.ndarray, name: str, free: tuple[str, ...], steps: Steps
    ) -> Float[np.ndarray, "..."]:
        """`[*parents, i, j]` at the pairs that `steps` put together (else the same)."""
        order = (*self.fixed(name, free), *free)
        places = np.ix_(*(np.arange(self.sizes[x]) for x in order))
        grid = dict(zip(order, places, strict=True))
        index = [grid[x] for x in order if x not in free]
        for x in free:
            above = tuple(grid[y] for y in self.parents[x])
            index += [grid[x], steps[x][(*above, grid[x])] if x in steps else grid[x]]
        picked = similarity[tuple(index)]
        return np.moveaxis(
            picked, [order.index(x) for x in self.parents[name]], range(len(order))
        )


def _scale(similarity: Float[np.ndarray, "*stack units units"]) -> float:
    return float(np.abs(similarity).max(axis=-1, initial=0).sum())
