"""Keys that are given, as numbers."""

from typing import Any

import jax
import numpy as np

_MUST = "it must be a key such as jax.random.key(0)"


def seed(key: Any) -> np.ndarray:
    """A key's numbers, for a generator on the host.

    Raises:
      ValueError: it is no key.
    """
    try:
        numbers = np.asarray(jax.random.key_data(key))
    except (TypeError, ValueError) as error:
        raise ValueError(f"key is {key!r}; {_MUST}") from error
    if numbers.ndim != 1:
        raise ValueError(f"key has shape {numbers.shape[:-1]}; {_MUST}, one alone")
    return numbers
