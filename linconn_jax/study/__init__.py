"""A config's networks and what is computed from them, each kept on disk and done once.

settings  whether a config makes sense
recipe    data, model and training of one width
recording, runs   its networks, trained and on disk
vertices  which networks are interpolated, and how each is permuted
alignments   the permutations, on disk
rows      what was measured, as rows
study     all of it, for the experiments
"""

from linconn_jax.study.recipe import Recipe
from linconn_jax.study.runs import Runs
from linconn_jax.study.study import Study
from linconn_jax.study.vertices import METHODS, Fit, Vertex, pair, spanned, through

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
