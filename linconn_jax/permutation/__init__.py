"""Permutation symmetries: found from a function, proved, and the group that acts.

`discover` finds the spec of any traced function (`register_rule` teaches it a primitive),
`verify` tests it; `permute` moves the units of any tree of its structure by an element of
the group (`random`, `identity`, `compose`, `inverse`, ...). `ActivationReader` reads the
activations of its units. Of the other modules it needs `trees`, `files` and `typing`.

What builds on permutations and no alignment needs is in `linconn_jax.extras`.
"""

from linconn_jax.permutation._discover import (
    Discovery,
    Operation,
    TracedArray,
    discover,
    examine,
    register_rule,
)
from linconn_jax.permutation._read import READS, ActivationReader
from linconn_jax.permutation._verify import Report, verify
from linconn_jax.permutation.action import permute
from linconn_jax.permutation.algebra import (
    agreement,
    compose,
    cycle_type,
    from_indices,
    identity,
    inverse,
    order,
    overall,
    points,
    power,
    random,
)
from linconn_jax.permutation.axis_layout import Piece
from linconn_jax.permutation.choice import chosen_leaves, fitted_to
from linconn_jax.permutation.depth import depth_order
from linconn_jax.permutation.describe import describe
from linconn_jax.permutation.element import Permutation, check_permutation
from linconn_jax.permutation.labels import Axes, Block, Concat, Fixed, Stacked, Units
from linconn_jax.permutation.spec import BoundSpec, Spec, bind, parents, sizes
from linconn_jax.permutation.store import load, load_all, save

__all__ = [
    "READS",
    "ActivationReader",
    "Axes",
    "Block",
    "BoundSpec",
    "Concat",
    "Discovery",
    "Fixed",
    "Operation",
    "Permutation",
    "Piece",
    "Report",
    "Spec",
    "Stacked",
    "TracedArray",
    "Units",
    "agreement",
    "bind",
    "check_permutation",
    "chosen_leaves",
    "compose",
    "cycle_type",
    "depth_order",
    "describe",
    "discover",
    "examine",
    "fitted_to",
    "from_indices",
    "identity",
    "inverse",
    "load",
    "load_all",
    "order",
    "overall",
    "parents",
    "permute",
    "points",
    "power",
    "random",
    "register_rule",
    "save",
    "sizes",
    "verify",
]
