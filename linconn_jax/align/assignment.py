"""The one seam to a linear-assignment solver."""

import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment

from linconn_jax.typing import Array, Float, Int

SMALL = 4
"""Up to so many units, stacked similarities are solved by trying all orders at once."""
LARGE = 48
"""From so many units on, looking for dual variables pays."""
ROUNDS = 2
"""More take longer than they spare the solver."""


def maximize(
    similarity: Float[Array, "*stack units others"],
) -> Int[np.ndarray, "*stack units"]:
    """The `p` that maximises `sum_i similarity[i, p[i]]`, for each matrix of a stack.

    Jonker-Volgenant through SciPy: exact, O(units³).

    Raises:
      ValueError: a matrix is not square or holds a number that is not finite.
    """
    similarity = np.asarray(similarity)
    if similarity.ndim < 2 or similarity.shape[-2] != similarity.shape[-1]:
        raise ValueError(
            f"the similarity has shape {similarity.shape}; it must be square, units of "
            "the reference by units of the other network"
        )
    if not np.isfinite(similarity).all():
        raise ValueError(
            "the similarity holds numbers that are not finite; did one of the networks "
            "diverge? (Trajectory.diverged tells)"
        )
    *stack, units, _ = similarity.shape
    if stack and units <= SMALL:
        orders = np.array(list(itertools.permutations(range(units))), int)
        totals = similarity[..., np.arange(units), orders].sum(axis=-1)
        return orders[totals.argmax(axis=-1)]
    index = np.empty((*stack, units), int)
    for place in np.ndindex(*stack):
        index[place] = _one(similarity[place])
    return index


def _one(similarity: Float[np.ndarray, "units others"]) -> Int[np.ndarray, " units"]:
    """Of one matrix, in less time where little is to be moved, as late in an ascent.

    With c = -similarity, numbers v for which c_ij - c_ii + v_i ≥ v_j for all i, j prove
    that the identity is best (they are the dual variables; Bellman-Ford's rounds find
    them). Where they are not found, what is found makes the solver's paths shorter:
    subtracting a number from each row and each column changes no assignment's rank.
    """
    if len(similarity) < LARGE:
        return linear_sum_assignment(similarity, maximize=True)[1]
    costs = similarity.diagonal()[:, None].astype(float) - similarity
    duals = np.zeros(len(costs))
    for _ in range(ROUNDS):
        found = (costs + duals[:, None]).min(axis=0)
        if np.array_equal(found, duals):
            return np.arange(len(costs))
        duals = found
    costs += duals[:, None]
    costs -= duals
    return linear_sum_assignment(costs)[1]


def value(
    similarity: Float[np.ndarray, "*stack units units"],
    index: Int[np.ndarray, "*stack units"],
) -> Float[np.ndarray, "*stack"]:
    """What an assignment gains: `sum_i similarity[..., i, index[..., i]]`."""
    chosen = np.take_along_axis(similarity, index[..., None], axis=-1)
    return np.asarray(chosen.sum(axis=(-2, -1)))
