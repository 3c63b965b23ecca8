"""A config's networks and what is computed from them, each kept on disk and done once.

settings  what a config may say
recipe    data, model and training of one width
runs      its networks, trained and on disk
vertices  what can be interpolated, and how alignments are named
inverted  alignments used both ways
hybrids   networks permuted by a mixture of alignments
composed  networks permuted by one alignment after another
alignments   permutations, on disk
sequences    kinds of sequences of networks; their registry
tasks     measurements, as rows
spawned   networks that are copies of others up to an epoch
singles   measurements of one network
distances   how far apart networks are
objectives  what a method says of what it found
experiment   what an experiment is; their registry
study     all of it
given     the same of networks that are there already
"""

from linconn_jax.study import sequences
from linconn_jax.study.composed import Composed, Likeness, chain, composed
from linconn_jax.study.distances import Distance, RandomDirection
from linconn_jax.study.experiment import (
    Experiment,
    experiment,
    experiments,
    register,
    sections,
)
from linconn_jax.study.given import Given
from linconn_jax.study.hybrids import Hybrid, hybrid
from linconn_jax.study.inverted import Inverted, once
from linconn_jax.study.objectives import Objective
from linconn_jax.study.recipe import Recipe
from linconn_jax.study.runs import Runs
from linconn_jax.study.singles import Single
from linconn_jax.study.spawned import Spawned
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
    "Distance",
    "Experiment",
    "Given",
    "Hybrid",
    "Inverted",
    "Likeness",
    "Network",
    "Objective",
    "RandomDirection",
    "Recipe",
    "Runs",
    "Single",
    "Spawned",
    "Study",
    "Task",
    "Training",
    "Vertex",
    "chain",
    "composed",
    "experiment",
    "experiments",
    "hybrid",
    "once",
    "pair",
    "register",
    "sections",
    "sequences",
    "spanned",
    "through",
]
