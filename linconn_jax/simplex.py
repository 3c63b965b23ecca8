"""Points of a simplex in barycentric coordinates: rows of k numbers that sum to 1."""

import itertools
import math

import numpy as np

from linconn_jax import checks
from linconn_jax.typing import Array, Float

TOLERANCE = 1e-6
"""Largest distance of a row's sum from 1: float32 rounding of k ≤ 16 coordinates."""
INSIDE = 20
"""So many points of a simplex, at least, lie strictly inside it."""
ALL_FACES = 8
"""Simplices of so many vertices have the centroids of all their 2^k - 1 faces among the
points; those of more, of the edges, of the faces opposite a vertex, and of the whole."""
PARTS = 10_000
"""Coordinates of drawn points are multiples of 1 / PARTS, which sum to 1 exactly."""


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


def points(
    k: int, resolution: int, *, inside: int = INSIDE, seed: int = 0
) -> Float[np.ndarray, "points k"]:
    """Where a simplex of three vertices or more is looked at: its faces and its inside.

    A grid alone may miss what matters most: with a resolution below k it lies on faces.
    These are the points of `grid(k, resolution)`, first; then the centroids of edges,
    triangles, ... and the whole that are not among them (see `ALL_FACES`); then points
    drawn uniformly from the inside (Dirichlet, all parameters 1), until `inside` of all
    have no coordinate 0.

    Args:
      k: number of vertices, at least 3; the points of two are a `segment`.
      resolution: of the grid.
      inside: least number of points strictly inside.
      seed: of the draw, which uses the raw bits of NumPy's PCG64 and whole numbers
        alone: the same points on every machine.

    Raises:
      ValueError: k < 3, resolution < 1, or inside or seed < 0.
    """
    why = "a simplex has at least 3 vertices (of two: simplex.segment)"
    checks.check("k", k, checks.whole(3, PARTS), why=why)
    checks.check("inside", inside, checks.whole(0), why="a number of points")
    checks.check("seed", seed, checks.whole(0))
    on_grid = grid(k, resolution)
    sizes = range(2, k + 1) if k <= ALL_FACES else (2, k - 1, k)
    centroids = [
        np.isin(np.arange(k), face) / size
        for size in sizes
        if resolution % size  # else it is a point of the grid
        for face in itertools.combinations(range(k), size)
    ]
    found = np.concatenate([on_grid, np.reshape(centroids, (-1, k))])
    lacking = max(inside - count_inside(found), 0)
    return np.concatenate([found, _drawn(lacking, k, seed)])


def count_inside(coords: Float[Array, "points k"]) -> int:
    """Number of points strictly inside the simplex: no coordinate is 0."""
    return int((np.asarray(coords) > 0).all(axis=1).sum())


def _drawn(count: int, k: int, seed: int) -> Float[np.ndarray, "points k"]:
    """A stick of `PARTS` parts, cut at k - 1 different places drawn for each point."""
    bits, sticks = np.random.PCG64(seed), np.zeros((count, k))
    for stick in sticks:
        cuts: set[int] = set()
        while len(cuts) < k - 1:
            cuts.add(1 + int(bits.random_raw()) % (PARTS - 1))
        stick[:] = np.diff([0, *sorted(cuts), PARTS])
    return sticks / PARTS


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
            "one row and one column for each vertex, as simplex.segment and "
            "simplex.points make them"
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
