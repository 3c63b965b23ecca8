"""Barriers: how far a loss or an error rises above its baseline between networks."""

import dataclasses

import numpy as np

from linconn_jax import simplex
from linconn_jax.typing import Array, Float

BASELINES = ("interpolated", "mean", "max")

LMC_THRESHOLD = 0.02
"""Error barrier at or below which two networks count as linearly mode connected (Sharma
et al. 2024, after Frankle et al. 2020)."""

TRAINED_SHARE = 0.5
"""A network counts as trained, clearly below chance, when its training error is at most
this share of `metrics.chance`, the error of always guessing the commonest class.

An error barrier can hardly rise above chance minus the error of the ends. Where that room
is small, as between networks that never learned, the barrier is small, too, whatever
permutation is tried, and says nothing. At half of chance the room is half of it: of ten
equal classes .45, of which the threshold .02 is a twentieth. Networks that stay at chance
have .90 there, and the narrowest that the paper trains .17 (on test data)."""


@dataclasses.dataclass(frozen=True)
class Barrier:
    """The barrier of one metric over the points of a segment or simplex.

    Attributes:
      value: the largest rise above the baseline; NaN when it is NaN at any point.
      coords: the coordinates `[k]` of the point where it is reached.
      baseline: which baseline was subtracted.
      points: number of points looked at.
    """

    value: float
    coords: tuple[float, ...]
    baseline: str
    points: int


def barrier(
    values: Float[Array, " points"],
    coords: Float[Array, "rows k"],
    *,
    baseline: str = "interpolated",
) -> Barrier:
    """`max over points of (value - baseline)`.

    Args:
      values: a loss or an error at each point.
      coords: barycentric coordinates of the points; all k vertices must be among them.
      baseline: what is subtracted from the value at λ, with L_i the values at the
        vertices: "interpolated" Σ λ_i L_i (Sharma et al. 2024, Frankle et al. 2020),
        "mean" Σ L_i / k (Entezari et al. 2022 for k = 2), or "max" max_i L_i.

    Returns:
      The barrier. With the interpolated or the max baseline it is at least 0 up to
      rounding, since vertices are among the points.

    Raises:
      ValueError: shapes disagree, coords leave the simplex, a vertex is missing, or the
        baseline is unknown.
    """
    coords = np.asarray(coords, np.float64)
    coords = simplex.check(coords, coords.shape[-1] if coords.ndim else 0)
    values = np.asarray(values, np.float64)
    if values.shape != coords.shape[:1]:
        raise ValueError(
            f"values have shape {values.shape} but coords {coords.shape}; there must be "
            "one value for each row of coords"
        )
    with np.errstate(invalid="ignore"):  # infinite values are somebody's answer
        rise = values - _baseline(values, coords, baseline)
    at = int(np.argmax(rise))  # the first NaN, where there is one
    return Barrier(
        float(rise[at]), tuple(map(float, coords[at])), baseline, len(values)
    )


def _baseline(values: np.ndarray, coords: np.ndarray, baseline: str) -> np.ndarray:
    distance = np.abs(coords[:, None, :] - np.eye(coords.shape[1])[None]).max(axis=-1)
    if (distance.min(axis=0) > simplex.TOLERANCE).any():
        missing = np.flatnonzero(distance.min(axis=0) > simplex.TOLERANCE).tolist()
        raise ValueError(
            f"coords have no row for vertex {missing}; the baseline needs the value at "
            "every vertex (simplex.segment and simplex.grid include them)"
        )
    vertices = values[distance.argmin(axis=0)]
    if baseline == "interpolated":
        # A zero coordinate contributes nothing even where its vertex diverged.
        return np.where(coords > 0, coords * vertices, 0.0).sum(axis=1)
    if baseline == "mean":
        return np.full_like(values, vertices.mean())
    if baseline == "max":
        return np.full_like(values, vertices.max())
    raise ValueError(f"baseline={baseline!r}; it must be one of {', '.join(BASELINES)}")
