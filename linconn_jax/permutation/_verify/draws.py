"""Random variables and inputs: never those given, which may hide what a label does."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.typing import Array

_POSITIVE = re.compile(r"var|scale|std|sigma|temperature", re.IGNORECASE)

# A compiled ReLU may turn the NaN of a negative variance into 0, so that finite outputs
# alone do not tell which variables must be positive.
LIKE_GIVEN = "positive where the given variables are, else normal"
POSITIVE = "all positive"


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array or stands for one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def is_known(leaf: Any) -> bool:
    """Whether an array has values (`jax.ShapeDtypeStruct` and the like have not)."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def is_inexact(leaf: Any) -> bool:
    """Whether an array holds real or complex numbers."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def is_key(leaf: Any) -> bool:
    """Whether an array holds random keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def wide(x: Array) -> np.ndarray:
    """The same numbers in float64, or in complex128."""
    x = np.asarray(x)
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def draw(rng: np.random.Generator, path: str, leaf: Any, how: str) -> Any:
    """A random float64 (or complex128) array in the place of a leaf of the variables.

    Arrays with two axes or more are scaled by their fan-in, taken to be all axes but the
    longest, so that signals keep their size through deep networks; others by a half.
    """
    if not is_inexact(leaf):
        return _as_given(rng, leaf)
    positive = how == POSITIVE or _is_positive(path, leaf)
    value = rng.normal(size=leaf.shape)
    if positive:
        value = 0.5 + np.abs(value)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        value = value + 1j * rng.normal(size=leaf.shape)
    if len(leaf.shape) > 1:
        return value * math.sqrt(max(leaf.shape) / max(math.prod(leaf.shape), 1))
    return np.asarray(value if positive else 0.5 * value)


def draw_input(rng: np.random.Generator, leaf: Any) -> Any:
    """An input: as given in float64; where only its shape is given, random."""
    if not is_array(leaf):
        return leaf
    if not is_inexact(leaf):
        return _as_given(rng, leaf)
    if is_known(leaf):
        return wide(leaf)
    return wide(np.asarray(rng.normal(size=leaf.shape), leaf.dtype))


def _is_positive(path: str, leaf: Any) -> bool:
    """Whether a leaf's values (or its name, if it has none) say that it is positive."""
    if not is_known(leaf):
        return _POSITIVE.search("/".join(path.split("/")[-2:])) is not None
    values = wide(leaf)
    return not np.iscomplexobj(values) and values.size > 0 and bool((values > 0).all())


def _as_given(rng: np.random.Generator, leaf: Any) -> Any:
    """Whole numbers and keys are not drawn: zeros and ones if they have no values."""
    if is_known(leaf):
        return leaf
    if is_key(leaf):
        keys = jax.random.split(jax.random.key(0), max(math.prod(leaf.shape), 1))
        return keys.reshape(leaf.shape)
    return rng.integers(0, 2, size=leaf.shape).astype(leaf.dtype)
