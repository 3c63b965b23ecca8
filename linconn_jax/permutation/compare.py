"""How alike two permutations are, and how far one is from moving nothing."""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.algebra import on_one_side, points
from linconn_jax.permutation.checks import check_alike, check_single
from linconn_jax.permutation.element import Permutation
from linconn_jax.typing import Array, Int


def agreement(p: Permutation, q: Permutation) -> dict[str, Array]:
    """Fraction of fixed points of `P ∘ Q⁻¹` for each axis name, in [0, 1].

    A unit is fixed where both put the same old unit in its place (Sharma et al. 2024,
    similarity of two permutations); of a nested name: the same old unit of the same old
    parent. 1 of a name without units. `overall` weights it by units.

    Raises:
      ValueError: the two have different axis names, sizes or nesting.
    """
    check_alike(p, q)
    p, q = on_one_side(p, q)
    same = {name: points(p, name) == points(q, name) for name in p}
    return {name: jnp.mean(x) if x.size else jnp.ones(()) for name, x in same.items()}


def overall(fractions: Mapping[str, Any], permutation: Permutation) -> float:
    """Mean of per-axis fractions weighted by the number of units of each axis."""
    units = {name: index.size for name, index in permutation.items() if index.size}
    total = sum(fractions[name] * n for name, n in units.items())
    return float(total / max(sum(units.values()), 1))


def cycle_type(permutation: Permutation) -> dict[str, tuple[int, ...]]:
    """Lengths of the cycles of each name's units, longest first, 1s among them.

    Units of a nested name are counted under all parents: `parents * units` in all.
    """
    check_single(permutation)
    return {
        name: _cycles(np.asarray(points(permutation, name))) for name in permutation
    }


def order(permutation: Permutation) -> int:
    """The smallest n ≥ 1 for which `power(permutation, n)` moves nothing."""
    lengths = [n for cycles in cycle_type(permutation).values() for n in cycles]
    return math.lcm(1, *lengths)


def _cycles(index: Int[np.ndarray, " points"]) -> tuple[int, ...]:
    seen, lengths = np.zeros(len(index), bool), []
    for start in range(len(index)):
        place, count = start, 0
        while not seen[place]:
            seen[place], place, count = True, index[place], count + 1
        if count:
            lengths.append(count)
    return tuple(sorted(lengths, reverse=True))
