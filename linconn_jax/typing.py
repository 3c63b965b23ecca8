"""Names for the values that flow between modules."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree, Shaped, UInt8

Array = jax.Array | np.ndarray
"""On a device or on the host; shapes are written as `Float[Array, "rows columns"]`."""
Key = PRNGKeyArray
Variables = PyTree
"""Everything `apply` takes: `{"params": ..., "batch_stats": ...}` in this project's
models, any pytree of arrays in other people's."""

__all__ = [
    "Any",
    "Array",
    "Bool",
    "Float",
    "Int",
    "Key",
    "PyTree",
    "Shaped",
    "UInt8",
    "Variables",
]
