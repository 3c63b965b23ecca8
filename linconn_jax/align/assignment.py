"""The one seam to a linear-assignment solver."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from linconn_jax.typing import Array, Float, Int


def maximize(similarity: Float[Array, "units others"]) -> Int[np.ndarray, " units"]:
    """The `p` that maximises `sum_i similarity[i, p[i]]`.

    Jonker-Volgenant through SciPy: exact, O(units³).

    Raises:
      ValueError: the matrix is not square or holds a number that is not finite.
    """
    similarity = np.asarray(similarity)
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(
            f"the similarity has shape {similarity.shape}; it must be square, units of "
            "the reference by units of the other network"
        )
    if not np.isfinite(similarity).all():
        raise ValueError(
            "the similarity holds numbers that are not finite; did one of the networks "
            "diverge? (Trajectory.diverged tells)"
        )
    return linear_sum_assignment(similarity, maximize=True)[1]
