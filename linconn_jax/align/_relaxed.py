"""k networks whose units are mixed by doubly stochastic matrices.

Of each network and name there is a matrix `[*parents, units, units]`, whose rows are
places and whose columns are the network's own units; those of a permutation are what
`permutation.permute` does. Names under others are mixed after them, in each of their
places by a matrix of its own. What is mixed is a polynomial in the entries, and so is
the objective, the sum over all pairs of `⟨x_i, x_j⟩`; all is float64.
"""

import dataclasses

import numpy as np
from numpy.polynomial import Polynomial

from linconn_jax.align import assignment
from linconn_jax.align._ascent import Site
from linconn_jax.align._parts import Part
from linconn_jax.align._weights import Weights
from linconn_jax.typing import Float

Soft = dict[Site, Float[np.ndarray, "..."]]
"""Of a network's number and a name: the matrices, or what the objective gains by them."""


class Relaxed:
    """The objective of soft permutations, and its slopes.

    Attributes:
      degree: of the objective along any line.
    """

    def __init__(self, weights: Weights):
        self._moving, self._parts = weights.moving, weights.parts
        self._arrays = [
            [np.float64(weights.current(i, part)) for part in range(len(self._parts))]
            for i in range(len(weights.arrays))
        ]
        self._mixes = [_mixes(part, weights) for part in weights.parts]
        of_one = max(map(len, self._mixes), default=0)
        self.degree = of_one * min(2, len(self._moving))

    def objective(self, soft: Soft) -> float:
        """The sum over all pairs."""
        total = 0.0
        for part in range(len(self._parts)):
            mixed = [self._mixed(i, part, soft)[-1] for i in range(len(self._arrays))]
            total += _over_pairs(mixed)
        return total

    def slopes(self, soft: Soft) -> tuple[float, Soft]:
        """The objective and its derivatives in all entries of all matrices."""
        total, found = 0.0, {site: np.zeros(x.shape) for site, x in soft.items()}
        for part, mixes in enumerate(self._mixes):
            mixed = [self._mixed(i, part, soft) for i in range(len(self._arrays))]
            everyone = np.sum([x[-1] for x in mixed], axis=0)
            total += _over_pairs([x[-1] for x in mixed])
            for i in self._moving:
                slope = everyone - mixed[i][-1]
                for before, mix in zip(mixed[i][-2::-1], mixes[::-1], strict=True):
                    matrix = soft[i, mix.name]
                    found[i, mix.name] += mix.products(slope, before)
                    slope = mix.apply(matrix.swapaxes(-1, -2), slope)
        return total, found

    def line(self, start: Soft, end: Soft) -> Polynomial:
        """The objective at `start + t · (end - start)`, exactly, as a polynomial in t."""
        steps = np.linspace(0.0, 1.0, self.degree + 1)
        values = [self.objective(between(start, end, t)) for t in steps]
        return Polynomial.fit(steps, values, self.degree)

    def _mixed(self, i: int, part: int, soft: Soft) -> list[np.ndarray]:
        """A part of network i as it is, and after each of its axes has been mixed."""
        found = [self._arrays[i][part]]
        if i in self._moving:
            for mix in self._mixes[part]:
                found.append(mix.apply(soft[i, mix.name], found[-1]))
        return found


@dataclasses.dataclass(frozen=True)
class _Mix:
    """What mixes an axis of a part.

    Attributes:
      name: of the axis.
      parents: how many there are.
      front: order of all axes in which the parents' come first, then its own.
    """

    name: str
    parents: int
    front: tuple[int, ...]

    def apply(self, matrix: np.ndarray, array: np.ndarray) -> np.ndarray:
        """The units along the axis mixed, in each place of the parents."""
        front = array.transpose(self.front)
        mixed = matrix @ front.reshape(*front.shape[: self.parents + 1], -1)
        return mixed.reshape(front.shape).transpose(np.argsort(self.front))

    def products(self, slope: np.ndarray, array: np.ndarray) -> np.ndarray:
        """`[*parents, place, unit]`, over all other axes: the slope in the matrix."""
        a, b = (x.transpose(self.front) for x in (slope, array))
        a, b = (x.reshape(*x.shape[: self.parents + 1], -1) for x in (a, b))
        return a @ b.swapaxes(-1, -2)


def _mixes(part: Part, weights: Weights) -> list[_Mix]:
    """Along all axes of a part that move, parents before what lies under them."""
    found = []
    for axis, name in enumerate(part.names):
        if name in weights.parents:
            first = [*(part.names.index(x) for x in weights.parents[name]), axis]
            rest = [i for i in range(len(part.names)) if i not in first]
            found.append(_Mix(name, len(first) - 1, (*first, *rest)))
    return sorted(found, key=lambda mix: mix.parents)


def between(start: Soft, end: Soft, t: float) -> Soft:
    """The point `start + t · (end - start)`."""
    return {site: x + t * (end[site] - x) for site, x in start.items()}


def corner(slopes: Soft) -> Soft:
    """The permutations to which the slopes point, as matrices."""
    return {
        site: np.eye(x.shape[-1])[assignment.maximize(x)] for site, x in slopes.items()
    }


def best_step(line: Polynomial) -> float:
    """Where in [0, 1] a polynomial is largest."""
    turns = line.deriv().roots()
    inside = turns.real[(abs(turns.imag) < 1e-9) & (turns.real > 0) & (turns.real < 1)]
    steps = np.array([0.0, *inside, 1.0])
    return float(steps[np.argmax(line(steps))])


def _over_pairs(mixed: list[np.ndarray]) -> float:
    """The sum over all pairs of inner products."""
    everyone = np.sum(mixed, axis=0)
    return sum(float(np.vdot(everyone - x, x)) for x in mixed) / 2
