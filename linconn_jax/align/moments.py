"""Similarities of two networks' units, from the moments of their activations."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.typing import Array, Float, PyTree, Variables

SIMILARITIES = ("raw", "pearson", "cosine")
Moments = dict[str, Array]
"""Sums over samples of both networks' activations ("a", "b") and of their products."""


def similarities(moments: Moments, similarity: str) -> Float[np.ndarray, "units units"]:
    """Of each unit of the reference with each of the other network."""
    m = {name: np.asarray(value, np.float64) for name, value in moments.items()}
    mean = {name: value / m["samples"] for name, value in m.items()}
    if similarity == "raw":
        return mean["ab"]
    if similarity == "cosine":
        return mean["ab"] * np.outer(_reciprocal(mean["aa"]), _reciprocal(mean["bb"]))
    deviation_a = _reciprocal(mean["aa"] - mean["a"] ** 2, floor=mean["aa"])
    deviation_b = _reciprocal(mean["bb"] - mean["b"] ** 2, floor=mean["bb"])
    covariance = mean["ab"] - np.outer(mean["a"], mean["b"])
    return covariance * np.outer(deviation_a, deviation_b)


def _reciprocal(
    square: Float[np.ndarray, " units"],
    floor: Float[np.ndarray, " units"] | float = 0.0,
) -> Float[np.ndarray, " units"]:
    """1 / sqrt(square), and 0 for units whose spread is below float32 resolution."""
    alive = square > 1e-6 * np.asarray(floor)
    return np.where(alive, 1.0 / np.sqrt(np.where(alive, square, 1.0)), 0.0)


def moments(
    reference: Variables,
    other: Variables,
    images: Array,
    activations: Callable,
    batch_size: int,
) -> dict[str, Moments]:
    """Moments of the activations of each axis name, `batch_size` images at once."""
    whole = len(images) // batch_size
    parts = []
    if whole:
        batched = images[: whole * batch_size]
        batched = batched.reshape(whole, batch_size, *images.shape[1:])
        parts.append(_scan_moments(reference, other, batched, activations=activations))
    if len(images) % batch_size:
        rest = images[whole * batch_size :][None]
        parts.append(_scan_moments(reference, other, rest, activations=activations))
    return functools.reduce(_add, parts)


@functools.partial(jax.jit, static_argnames="activations")
def _scan_moments(
    reference: Variables, other: Variables, batches: Array, *, activations: Callable
) -> dict[str, Moments]:
    def one(images: Array) -> PyTree:
        a, b = activations(reference, images), activations(other, images)
        return {name: _outer(_flat(a[name]), _flat(b[name])) for name in a}

    def add(total: PyTree, images: Array) -> tuple[PyTree, None]:
        return _add(total, one(images)), None

    zero = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, batches[0])
    )
    return jax.lax.scan(add, zero, batches)[0]


def _flat(values: Float[Array, "samples ..."]) -> Float[Array, "samples points"]:
    """The units of a nested name under all its parents in one row."""
    return values.reshape(len(values), -1)


def _outer(
    a: Float[Array, "samples units"], b: Float[Array, "samples units"]
) -> Moments:
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
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
