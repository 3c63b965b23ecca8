"""The outputs of one run, and how far they are from those of another."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The numeric outputs of one run, flattened."""

    arrays: tuple[np.ndarray, ...]

    @property
    def finite(self) -> float:
        """The share of all entries that is finite."""
        total = sum(array.size for array in self.arrays)
        good = sum(int(np.isfinite(array).sum()) for array in self.arrays)
        return good / total if total else 0.0

    def distance(self, other: "Outputs") -> float:
        """The largest difference, relative to the largest entry of the same output.

        Entries that are not finite must not be so in the same way, else the distance is
        infinite.
        """
        pairs = zip(self.arrays, other.arrays, strict=True)
        return max((_distance(a, b) for a, b in pairs), default=0.0)


def numeric(outputs: PyTree) -> Outputs:
    """The outputs of a function as float64 (or complex128) arrays of the host."""
    return Outputs(tuple(_number(x) for x in jax.tree.leaves(outputs)))


def bend(*runs: Outputs) -> float:
    """How far three outputs of equal steps are from a line, relative to their scale."""
    bends = [0.0]
    for a, b, c in zip(*(run.arrays for run in runs), strict=True):
        finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
        a, b, c = a[finite], b[finite], c[finite]
        bend = np.abs(a - 2 * b + c).max(initial=0.0)
        bends.append(float(bend / (np.abs(a).max(initial=0.0) or 1.0)))
    return max(bends)


def _number(x: Any) -> np.ndarray:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    x = np.asarray(x)
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    a, b = a[finite], b[finite]
    if not np.isfinite(b).all():
        return np.inf
    difference = np.abs(a - b).max(initial=0.0)
    return float(difference / (np.abs(a).max(initial=0.0) or 1.0))
