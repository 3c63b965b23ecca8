"""The spec of any function, found by tracing it."""

from linconn_jax.permutation._discover.discovery import Discovery, discover, examine
from linconn_jax.permutation._discover.interpret import Operation
from linconn_jax.permutation._discover.registry import register_rule
from linconn_jax.permutation._discover.traced_array import TracedArray

__all__ = [
    "Discovery",
    "Operation",
    "TracedArray",
    "discover",
    "examine",
    "register_rule",
]
