"""Similarities of two networks' units, from the moments of their activations."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.typing import Array, Float, PyTree, Variables

SIMILARITIES = ("raw", "pearson", "cosine")
PILOT = 16
"""So many images tell where a network's activations lie, and how large they are."""
UNRESOLVED = 1e-6
"""A variance that is less than this fraction of its float32 sum is rounding."""
CONSTANT = 1e-13
"""So is one that is less than this fraction of the mean square: float32 activations."""

Moments = dict[str, Array]
"""Sums over samples of both networks' activations ("a", "b") and of their products.

They are of (activation - pilot) / scale: sums of squares in float32 would lose small
deviations from a large mean, and overflow or vanish. "pilot_a", "scale_a", "pilot_b" and
"scale_b" lead back in float64 (pilots are divided by their scale as well).
"""
Frame = dict[str, Array]
"""The "pilot" of each unit of one name and network, and the "scale" of them all."""


def similarities(
    name: str, moments: Moments, similarity: str
) -> Float[np.ndarray, "units units"]:
    """Of each unit of the reference with each of the other network.

    Raises:
      ValueError: the activations were not finite.
    """
    m = {what: np.asarray(value, np.float64) for what, value in moments.items()}
    if not all(np.isfinite(value).all() for value in m.values()):
        raise ValueError(
            f"the activations of {name!r} hold numbers that are not finite; did one of "
            "the networks diverge? (Trajectory.diverged tells)"
        )
    a, b, aa, bb, ab = (m[x] / m["samples"] for x in ("a", "b", "aa", "bb", "ab"))
    mean_a, mean_b = m["pilot_a"] + a, m["pilot_b"] + b
    covariance = ab - np.outer(a, b)
    variance_a, variance_b = aa - a**2, bb - b**2
    if similarity == "pearson":
        floor_a = UNRESOLVED * aa + CONSTANT * mean_a**2
        floor_b = UNRESOLVED * bb + CONSTANT * mean_b**2
        deviation_a = _reciprocal(variance_a, floor_a)
        return covariance * np.outer(deviation_a, _reciprocal(variance_b, floor_b))
    product = covariance + np.outer(mean_a, mean_b)
    if similarity == "raw":
        return product * m["scale_a"] * m["scale_b"]
    norm_a = _reciprocal(variance_a + mean_a**2)
    return product * np.outer(norm_a, _reciprocal(variance_b + mean_b**2))


def squares(moments: Moments) -> tuple[float, float]:
    """E‖h‖² of both networks: mean over samples, summed over units."""
    found = []
    for x in "ab":
        mean, square, pilot, scale = (
            np.asarray(moments[what], np.float64)
            for what in (x, 2 * x, f"pilot_{x}", f"scale_{x}")
        )
        samples = float(moments["samples"])
        raw = square / samples + 2 * pilot * mean / samples + pilot**2
        found.append(float(raw.sum() * scale**2))
    return found[0], found[1]


def _reciprocal(
    square: Float[np.ndarray, " units"],
    floor: Float[np.ndarray, " units"] | float = 0.0,
) -> Float[np.ndarray, " units"]:
    """1 / sqrt(square), and 0 for units whose square does not exceed the floor."""
    alive = square > floor
    return np.where(alive, 1.0 / np.sqrt(np.where(alive, square, 1.0)), 0.0)


def moments(
    reference: Variables,
    other: Variables,
    images: Array,
    activations: Callable,
    batch_size: int,
) -> dict[str, Moments]:
    """Moments of the activations of each axis name, `batch_size` images at once."""
    networks, pilot = (reference, other), images[: min(PILOT, batch_size)]
    frames = tuple(_frames(x, pilot, activations=activations) for x in networks)
    whole, rest = divmod(len(images), batch_size)
    parts = []
    if whole:
        batches = images[: whole * batch_size]
        parts.append(batches.reshape(whole, batch_size, *images.shape[1:]))
    if rest:
        parts.append(images[-rest:][None])
    sums = functools.reduce(
        _add, (_scan_sums(networks, x, frames, activations=activations) for x in parts)
    )
    for frame, x in zip(frames, "ab", strict=True):
        for name in sums:
            sums[name] |= {f"{what}_{x}": y for what, y in frame[name].items()}
    return sums


@functools.partial(jax.jit, static_argnames="activations")
def _frames(
    variables: Variables, images: Array, *, activations: Callable
) -> dict[str, Frame]:
    return jax.tree.map(_frame, activations(variables, images))


def _frame(values: Array) -> Frame:
    flat = _flat(values)
    largest = jnp.abs(flat).max(initial=0)
    largest = jnp.where(largest > 0, largest, 1)
    scale = largest / (2 * jnp.frexp(largest)[0])  # a power of two: exact
    return {"pilot": (flat / scale).mean(axis=0), "scale": scale}


@functools.partial(jax.jit, static_argnames="activations")
def _scan_sums(
    networks: tuple[Variables, Variables],
    batches: Array,
    frames: tuple[dict[str, Frame], dict[str, Frame]],
    *,
    activations: Callable,
) -> PyTree:
    def one(images: Array) -> PyTree:
        found = tuple(activations(x, images) for x in networks)
        return jax.tree.map(_sums, *jax.tree.map(_framed, found, frames))

    zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(one, batches[0]))
    return jax.lax.scan(lambda x, images: (_add(x, one(images)), None), zero, batches)[
        0
    ]


def _flat(values: Array) -> Float[Array, "samples points"]:
    """The units of a nested name under all its parents in one row, at least float32."""
    wide = values.dtype if values.dtype == jnp.float64 else jnp.float32
    return values.astype(wide).reshape(len(values), -1)


def _framed(values: Array, frame: Frame) -> Float[Array, "samples points"]:
    flat = _flat(values) / frame["scale"] - frame["pilot"][None]
    return flat.astype(jnp.float32)


def _sums(
    a: Float[Array, "samples units"], b: Float[Array, "samples units"]
) -> dict[str, Array]:
    return {
        "ab": jnp.dot(a.T, b, precision=jax.lax.Precision.HIGHEST),
        "a": a.sum(axis=0),
        "b": b.sum(axis=0),
        "aa": jnp.square(a).sum(axis=0),
        "bb": jnp.square(b).sum(axis=0),
        "samples": jnp.float32(len(a)),
    }


def _add(x: PyTree, y: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, x, y)
