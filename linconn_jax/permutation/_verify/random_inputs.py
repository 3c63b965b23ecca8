"""Random variables and inputs: given variables may hide what a label does.

With zero biases and unit scales, as networks begin, a wrong spec passes.
"""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.typing import Array

# A compiled ReLU may turn the NaN of a negative variance into 0, so that finite outputs
# alone do not tell which variables must be positive.
ALL_POSITIVE = "all positive"
WAYS = ("positive where the given variables are, else normal", ALL_POSITIVE)

_POSITIVE_NAME = re.compile(r"var|scale|std|sigma|temperature", re.IGNORECASE)


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array or stands for one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def has_values(leaf: Any) -> bool:
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


def random_leaf(rng: np.random.Generator, path: str, leaf: Any, how: str) -> Any:
    """A random float64 (or complex128) array of the shape of a leaf of the variables.

    Arrays with two axes or more are scaled by their fan-in, taken to be all axes but the
    longest, so that signals keep their size through deep networks; others by a half.
    """
    if not is_inexact(leaf):
        return _whole_numbers(rng, leaf)
    value = rng.normal(size=leaf.shape)
    positive = how == ALL_POSITIVE or _is_positive(path, leaf)
    if positive:
        value = 0.5 + np.abs(value)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        value = value + 1j * rng.normal(size=leaf.shape)
    if len(leaf.shape) > 1:
        return value * math.sqrt(max(leaf.shape) / max(math.prod(leaf.shape), 1))
    return np.asarray(value if positive else 0.5 * value)


def random_input(rng: np.random.Generator, leaf: Any) -> Any:
    """An input as given, in float64; random where only its shape is given."""
    if not is_inexact(leaf):
        return _whole_numbers(rng, leaf)
    if has_values(leaf):
        return wide(leaf)
    return wide(np.asarray(rng.normal(size=leaf.shape), leaf.dtype))


def _is_positive(path: str, leaf: Any) -> bool:
    """Whether the values of a leaf are; without any, whether its name says so."""
    if not has_values(leaf):
        return _POSITIVE_NAME.search("/".join(path.split("/")[-2:])) is not None
    values = wide(leaf)
    return not np.iscomplexobj(values) and values.size > 0 and bool((values > 0).all())


def _whole_numbers(rng: np.random.Generator, leaf: Any) -> Any:
    """Whole numbers and random keys as given; without values zeros and ones, new keys."""
    if has_values(leaf):
        return leaf
    if is_key(leaf):
        return jax.random.split(jax.random.key(0), leaf.shape)
    return rng.integers(0, 2, size=leaf.shape).astype(leaf.dtype)
