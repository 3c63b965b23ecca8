"""Names for the values that flow between modules."""

from typing import Any

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt8

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
    "UInt8",
    "Variables",
]
