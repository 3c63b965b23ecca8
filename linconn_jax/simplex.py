"""Points of a simplex in barycentric coordinates: rows of k numbers that sum to 1."""

import itertools
import math

import numpy as np

from linconn_jax import checks
from linconn_jax.typing import Array, Float

TOLERANCE = 1e-6
"""Largest distance of a row's sum from 1: float32 rounding of k ≤ 16 coordinates."""


def segment(points: int = 25) -> Float[np.ndarray, "points 2"]:
    """Uniform grid of `points` on a segment, ends included: rows (1 - alpha, alpha).

    25 points are the field's default (Frankle et al. 2020; Sharma et al. 2024).

    Raises:
      ValueError: fewer than 2 points.
    """
    checks.check("points", points, checks.whole(2), why="a segment has 2 ends")
    alpha = np.linspace(0.0, 1.0, points)
    return np.stack([1.0 - alpha, alpha], axis=1)


def grid(k: int, resolution: int) -> Float[np.ndarray, "points k"]:
    """All coordinates that are multiples of 1 / resolution, vertices included.

    Args:
      k: number of vertices, at least 2.
      resolution: parts into which an edge is cut; the grid has
        `comb(resolution + k - 1, k - 1)` points, in lexicographic order from vertex 0.

    Raises:
      ValueError: k < 2 or resolution < 1.
    """
    checks.check("k", k, checks.whole(2), why="a simplex has at least 2 vertices")
    checks.check("resolution", resolution, checks.whole(1), why="an edge's parts")
    bars = itertools.combinations(range(resolution + k - 1), k - 1)
    edges = np.array([(-1, *bar, resolution + k - 1) for bar in bars])
    return (np.diff(edges, axis=1)[::-1] - 1) / resolution


def grid_size(k: int, resolution: int) -> int:
    """Number of points of `grid(k, resolution)`."""
    return math.comb(resolution + k - 1, k - 1)


def check(coords: Float[Array, "points k"], k: int) -> np.ndarray:
    """`coords` as a float64 array, after checking that they lie in the simplex.

    Raises:
      ValueError: wrong shape, a row that does not sum to 1, a negative coordinate, or a
        number that is not finite.
    """
    coords = np.asarray(coords, dtype=np.float64)
    if k < 2:
        raise ValueError(
            f"there is k={k} vertex; interpolation needs at least 2 networks, stacked "
            "along the leading axis of every leaf (trees.stack)"
        )
    if coords.ndim != 2 or coords.shape[1] != k or not len(coords):
        raise ValueError(
            f"coords have shape {coords.shape}; they must be [points, {k}] with at least "
            "one row and one column for each vertex, as simplex.segment and simplex.grid "
            "make them"
        )
    if not np.isfinite(coords).all():
        raise ValueError("coords hold a number that is not finite")
    off = np.abs(coords.sum(axis=1) - 1.0)
    if off.max() > TOLERANCE:
        row = int(off.argmax())
        raise ValueError(
            f"row {row} of coords sums to {coords[row].sum():.8g}; barycentric "
            "coordinates of a point sum to 1"
        )
    if coords.min() < -TOLERANCE:
        row = int(coords.min(axis=1).argmin())
        raise ValueError(
            f"row {row} of coords is {coords[row].tolist()}, outside the simplex; every "
            "coordinate must be at least 0"
        )
    return coords
