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
"""Means over samples of both networks' activations ("a", "b") and of their products.

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
    mean_a, mean_b = m["pilot_a"] + m["a"], m["pilot_b"] + m["b"]
    covariance = m["ab"] - np.outer(m["a"], m["b"])
    variance_a, variance_b = m["aa"] - m["a"] ** 2, m["bb"] - m["b"] ** 2
    if similarity == "pearson":
        floor_a = UNRESOLVED * m["aa"] + CONSTANT * mean_a**2
        floor_b = UNRESOLVED * m["bb"] + CONSTANT * mean_b**2
        deviation_a = _reciprocal(variance_a, floor_a)
        return covariance * np.outer(deviation_a, _reciprocal(variance_b, floor_b))
    product = covariance + np.outer(mean_a, mean_b)
    if similarity == "raw":
        return product * m["scale_a"] * m["scale_b"]
    norm_a = _reciprocal(variance_a + mean_a**2)
    return product * np.outer(norm_a, _reciprocal(variance_b + mean_b**2))


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
    pilot = images[: min(PILOT, batch_size)]
    frames_a, frames_b = (
        _frames(x, pilot, activations=activations) for x in (reference, other)
    )
    frames = {name: (frames_a[name], frames_b[name]) for name in frames_a}
    whole = len(images) // batch_size
    parts = []
    if whole:
        batches = images[: whole * batch_size]
        parts.append(batches.reshape(whole, batch_size, *images.shape[1:]))
    if len(images) % batch_size:
        parts.append(images[whole * batch_size :][None])
    sums = functools.reduce(
        _add,
        (
            _scan_sums(reference, other, part, frames, activations=activations)
            for part in parts
        ),
    )
    return {name: _moments(sums[name], *frames[name]) for name in sums}


def _moments(sums: dict[str, Array], a: Frame, b: Frame) -> Moments:
    sums = {name: np.asarray(value, np.float64) for name, value in sums.items()}
    samples = sums.pop("samples")
    means = {name: value / samples for name, value in sums.items()}
    return means | {
        "pilot_a": a["pilot"],
        "scale_a": a["scale"],
        "pilot_b": b["pilot"],
        "scale_b": b["scale"],
    }


@functools.partial(jax.jit, static_argnames="activations")
def _frames(
    variables: Variables, images: Array, *, activations: Callable
) -> dict[str, Frame]:
    return {
        name: _frame(_flat(values))
        for name, values in activations(variables, images).items()
    }


def _frame(values: Float[Array, "samples units"]) -> Frame:
    largest = jnp.abs(values).max(initial=0)
    largest = jnp.where(largest > 0, largest, 1)
    scale = largest / (2 * jnp.frexp(largest)[0])  # a power of two: exact
    return {"pilot": (values / scale).mean(axis=0), "scale": scale}


@functools.partial(jax.jit, static_argnames="activations")
def _scan_sums(
    reference: Variables,
    other: Variables,
    batches: Array,
    frames: dict[str, tuple[Frame, Frame]],
    *,
    activations: Callable,
) -> PyTree:
    def one(images: Array) -> PyTree:
        a, b = activations(reference, images), activations(other, images)
        return {
            name: _sums(_flat(a[name]), _flat(b[name]), *frames[name]) for name in a
        }

    def add(total: PyTree, images: Array) -> tuple[PyTree, None]:
        return _add(total, one(images)), None

    zero = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, batches[0])
    )
    return jax.lax.scan(add, zero, batches)[0]


def _flat(values: Array) -> Float[Array, "samples points"]:
    """The units of a nested name under all its parents in one row, at least float32."""
    wide = values.dtype if values.dtype == jnp.float64 else jnp.float32
    return values.astype(wide).reshape(len(values), -1)


def _sums(
    a: Float[Array, "samples units"],
    b: Float[Array, "samples units"],
    frame_a: Frame,
    frame_b: Frame,
) -> dict[str, Array]:
    a, b = (
        (x / frame["scale"] - frame["pilot"][None]).astype(jnp.float32)
        for x, frame in ((a, frame_a), (b, frame_b))
    )
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
