"""Alignment: finding the permutations that bring networks together.

`weight_matching` and `activation_matching` align one network to another,
`joint_weight_matching` one sequence of networks to another, and `joint` k networks at
once; `each` makes many of these in one call. A `Method` is the same for k networks with
its settings, as studies run it; `register` enters one.
"""

from linconn_jax.align import (
    _learned_method,  # noqa: F401 - registers itself
    _pairwise,  # noqa: F401 - registers star and spanning_tree
    _weight_method,  # noqa: F401 - registers itself
    baselines,  # registers naive and random
    objectives,
)
from linconn_jax.align._activation_matching import SIMILARITIES, activation_matching
from linconn_jax.align._each import each
from linconn_jax.align._fitted import trained
from linconn_jax.align._frank_wolfe import frank_wolfe
from linconn_jax.align._fused_matching import fused_matching
from linconn_jax.align._joint import joint
from linconn_jax.align._joint_weight_matching import joint_weight_matching
from linconn_jax.align._learned import learned
from linconn_jax.align._merge_many import merge_many
from linconn_jax.align._weight_matching import weight_matching
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.bounds import bound, gap, joint_bound, sequence_bound
from linconn_jax.align.method import Context, Method, method, methods, register

__all__ = [
    "SIMILARITIES",
    "Alignment",
    "Context",
    "Method",
    "activation_matching",
    "baselines",
    "bound",
    "each",
    "frank_wolfe",
    "fused_matching",
    "gap",
    "joint",
    "joint_bound",
    "joint_weight_matching",
    "learned",
    "merge_many",
    "method",
    "methods",
    "objectives",
    "register",
    "sequence_bound",
    "trained",
    "weight_matching",
]
