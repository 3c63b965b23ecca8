"""Random variables and inputs: never those given, which may hide what a label does."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_POSITIVE = re.compile(r"var|scale|std|sigma|temperature", re.IGNORECASE)

HOW = (
    "normal",
    "positive where the given variables are, else normal",
    "all positive",
)
"""How leaves are drawn, in the order in which it is tried."""


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array or stands for one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def is_known(leaf: Any) -> bool:
    """Whether an array has values (`jax.ShapeDtypeStruct` and the like have not)."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def is_inexact(leaf: Any) -> bool:
    """Whether an array holds real or complex numbers."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def positive(path: str, leaf: Any) -> bool:
    """Whether a leaf's values (or its name, if it has none) say that it is positive."""
    if not is_known(leaf):
        return _POSITIVE.search("/".join(path.split("/")[-2:])) is not None
    values = np.asarray(leaf, np.complex128 if np.iscomplexobj(leaf) else np.float64)
    return not np.iscomplexobj(values) and values.size > 0 and bool((values > 0).all())


def draw_leaf(
    rng: np.random.Generator, leaf: Any, *, positive: bool = False
) -> np.ndarray:
    """A random float64 (or complex128) array in the place of a leaf.

    Arrays with two axes or more are scaled by their fan-in, taken to be all axes but the
    longest, so that signals keep their size through deep networks; others by a half.
    """
    shape = tuple(leaf.shape)
    value = rng.normal(size=shape)
    if positive:
        value = 0.5 + np.abs(value)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        value = value + 1j * rng.normal(size=shape)
    if len(shape) > 1:
        return value * _scale(shape)
    return np.asarray(value if positive else 0.5 * value)


def _scale(shape: Sequence[int]) -> float:
    return math.sqrt(max(shape) / max(math.prod(shape), 1))


def as_given(rng: np.random.Generator, leaf: Any) -> Any:
    """An array that is not inexact: as given; zeros and ones if it has no values."""
    if is_known(leaf):
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        keys = jax.random.split(jax.random.key(0), max(math.prod(leaf.shape), 1))
        return keys.reshape(leaf.shape)
    return rng.integers(0, 2, size=leaf.shape).astype(leaf.dtype)


def draw_input(rng: np.random.Generator, leaf: Any) -> Any:
    """An input: as given in float64; where only its shape is given, random."""
    if not is_array(leaf):
        return leaf
    if not is_inexact(leaf):
        return as_given(rng, leaf)
    wide = jnp.issubdtype(leaf.dtype, jnp.complexfloating)
    if is_known(leaf):
        return np.asarray(leaf).astype(np.complex128 if wide else np.float64)
    return np.asarray(
        rng.normal(size=leaf.shape), np.complex128 if wide else np.float64
    )
