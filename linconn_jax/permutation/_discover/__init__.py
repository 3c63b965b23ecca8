"""The spec of any function, found by tracing it."""

from linconn_jax.permutation._discover.discovery import Discovery, discover, examine

__all__ = ["Discovery", "discover", "examine"]
