"""Parts of matrices that permutations of rows and columns keep apart; their traces."""

import dataclasses

import numpy as np

from linconn_jax.typing import Float


@dataclasses.dataclass(frozen=True)
class Effects:
    """An array `[tied, others, rows, columns]` as a sum of parts that stay apart."""

    mean: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    both: np.ndarray


def effects(x: Float[np.ndarray, "tied others rows columns"]) -> Effects:
    """Means over rows and columns, over each of them, and what deviates from both."""
    mean = x.mean(axis=(2, 3), keepdims=True)
    rows = x.mean(axis=3, keepdims=True) - mean
    columns = x.mean(axis=2, keepdims=True) - mean
    return Effects(mean, rows, columns, x - mean - rows - columns)


def von_neumann(
    a: Float[np.ndarray, "tied others rows columns"],
    b: Float[np.ndarray, "tied others rows columns"],
) -> float:
    """Σ σ_i(a) σ_i(b), of one matrix for each place that stays.

    (These could stand beside the rows or the columns of one matrix instead; on trained
    convolutions that was never tighter.)
    """
    return float(np.vdot(_singular_values(a), _singular_values(b)))


def _singular_values(x: Float[np.ndarray, "*stack rows columns"]) -> np.ndarray:
    """In ascending order, and never too small.

    From the eigenvalues of x xᵀ, several times faster than a decomposition of x. Those
    are known to rounding of the largest, which is added: of a product of two such values
    it is as small a share as of the eigenvalues.
    """
    x = x if x.shape[-2] <= x.shape[-1] else x.swapaxes(-1, -2)
    squares = np.linalg.eigvalsh(x @ x.swapaxes(-1, -2))
    rounding = x.shape[-2] * np.finfo(x.dtype).eps * squares[..., -1:]
    return np.sqrt(np.maximum(squares, 0) + np.maximum(rounding, 0))
