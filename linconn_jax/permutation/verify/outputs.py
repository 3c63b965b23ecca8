"""The outputs of one run, and how far they are from those of another."""

import jax
import numpy as np

from linconn_jax.permutation.verify.draws import is_key, wide
from linconn_jax.typing import PyTree

Outputs = list[np.ndarray]
"""Leaves of the outputs in float64 or complex128, on the host."""


def outputs_of(tree: PyTree) -> Outputs:
    """What a function returned, as numbers."""
    return [
        wide(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(tree)
    ]


def finite(outputs: Outputs) -> float:
    """The share of all entries that is finite."""
    total = sum(array.size for array in outputs)
    return sum(int(np.isfinite(x).sum()) for x in outputs) / total if total else 0.0


def distance(outputs: Outputs, others: Outputs) -> float:
    """The largest difference, relative to the largest entry of the same output.

    Entries that are not finite must not be so in the same way, else the distance is
    infinite.
    """
    return max(map(_distance, outputs, others), default=0.0)


def bend(*runs: Outputs) -> float:
    """How far three outputs of equal steps are from a line, relative to their scale."""
    bends = [0.0]
    for a, b, c in zip(*runs, strict=True):
        among = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
        a, b, c = a[among], b[among], c[among]
        bends.append(_relative(a - 2 * b + c, a))
    return max(bends)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    among = np.isfinite(a)
    alike = np.array_equal(a[~among], b[~among], equal_nan=True)
    a, b = a[among], b[among]
    return _relative(a - b, a) if alike and np.isfinite(b).all() else np.inf


def _relative(difference: np.ndarray, scale: np.ndarray) -> float:
    scale = np.abs(scale).max(initial=0.0) or 1.0
    return float(np.abs(difference).max(initial=0.0) / scale)
