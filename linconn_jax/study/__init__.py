"""A config's networks and what is computed from them, each kept on disk and done once."""

from linconn_jax.study.runs import Recipe, Runs
from linconn_jax.study.study import METHODS, Fit, Study, Vertex, pair, spanned, through

__all__ = [
    "METHODS",
    "Fit",
    "Recipe",
    "Runs",
    "Study",
    "Vertex",
    "pair",
    "spanned",
    "through",
]
