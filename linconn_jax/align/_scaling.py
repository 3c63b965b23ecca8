"""Weights as their inner products want them: finite, near 1 and around 0."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def scaled(
    leaves: Mapping[int, tuple[str, Any]],
) -> tuple[dict[int, np.ndarray], float, dict[int, float]]:
    """The leaves of {number: (path, leaf)}, each less its mean, near 1.

    So products of two networks neither overflow nor vanish in float32, nor does what all
    units share (norm scales near 1) drown what tells them apart: a leaf's mean adds the
    same to its inner product with any permutation of another. All is on the host then,
    wherever the leaves lie.

    Returns:
      The deviations, the power of two by which they and the means have been divided, and
      the mean of each leaf.

    Raises:
      ValueError: a leaf is complex or not finite.
    """
    found = {i: real_weights(path, leaf) for i, (path, leaf) in leaves.items()}
    largest = max((float(np.abs(x).max(initial=0)) for x in found.values()), default=0)
    scale = math.ldexp(1.0, math.frexp(largest)[1] - 1)  # the largest is 1 to 2 then
    deviations, means = {}, {}
    for i, x in found.items():
        means[i] = float((x / scale).mean(dtype=np.float64)) if x.size else 0.0
        deviations[i] = (x / scale - np.float64(means[i])).astype(x.dtype)
    return deviations, scale, means


def real_weights(path: str, leaf: Any) -> np.ndarray:
    """A leaf on the host, in float32 at least.

    Raises:
      ValueError: it is complex or not finite.
    """
    weights = np.asarray(leaf)
    if np.iscomplexobj(weights):
        raise ValueError(
            f"leaf {path} has dtype {weights.dtype}; only real numbers are "
            "compared: give the real and imaginary parts as two leaves"
        )
    weights = weights.astype(np.promote_types(weights.dtype, np.float32), copy=False)
    if not np.isfinite(weights).all():
        raise ValueError(
            f"leaf {path} holds numbers that are not finite; did the network diverge? "
            "(Trajectory.diverged tells)"
        )
    return weights
