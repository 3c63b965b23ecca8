"""A config's networks and what is computed from them, each kept on disk and done once.

settings  what a config may say
recipe    data, model and training of one width
runs      its networks, trained and on disk
vertices  what can be interpolated, and how alignments are named
hybrids   networks permuted by a mixture of alignments
composed  networks permuted by one alignment after another
alignments   permutations, on disk
tasks     measurements, as rows
singles   measurements of one network
experiment   what an experiment is; their registry
study     all of it
given     the same of networks that are there already
"""

from linconn_jax.study.composed import Composed, Likeness, chain, composed
from linconn_jax.study.experiment import (
    Experiment,
    experiment,
    experiments,
    register,
    sections,
)
from linconn_jax.study.given import Given
from linconn_jax.study.hybrids import Hybrid, hybrid
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.runs import Runs
from linconn_jax.study.singles import Single
from linconn_jax.study.study import Study
from linconn_jax.study.tasks import Agreement, Barrier, Task, Training
from linconn_jax.study.vertices import (
    Aligned,
    AlignmentKey,
    Network,
    Vertex,
    pair,
    spanned,
    through,
)

__all__ = [
    "Agreement",
    "Aligned",
    "AlignmentKey",
    "Barrier",
    "Composed",
    "Experiment",
    "Given",
    "Hybrid",
    "Likeness",
    "Network",
    "Recipe",
    "Runs",
    "Single",
    "Study",
    "Task",
    "Training",
    "Vertex",
    "chain",
    "composed",
    "experiment",
    "experiments",
    "hybrid",
    "pair",
    "register",
    "sections",
    "spanned",
    "through",
]
