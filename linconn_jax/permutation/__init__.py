"""Permutation symmetries: found from a function, proved, and the group that acts.

`discover` finds the spec of any traced function, `verify` tests it; `permute` moves the
units of any tree of its structure by an element of the group (`random`, `identity`,
`compose`, `inverse`, ...). Of the other modules it needs `trees`, `files` and `typing`.

The names `discover`, `verify` and `widen` are functions here, as users write them. What
stands in the packages and the module of these names is imported from there in full:
`from linconn_jax.permutation._verify.perturbation import Count`.
"""

from linconn_jax.permutation._discover import Discovery, discover, examine
from linconn_jax.permutation._verify import Report, describe, verify
from linconn_jax.permutation.action import permute
from linconn_jax.permutation.algebra import (
    compose,
    from_indices,
    identity,
    inverse,
    power,
    random,
)
from linconn_jax.permutation.compare import agreement, cycle_type, order, overall
from linconn_jax.permutation.element import Permutation
from linconn_jax.permutation.frames import Framed
from linconn_jax.permutation.labels import (
    Axes,
    Block,
    Concat,
    Fixed,
    Stacked,
    Units,
)
from linconn_jax.permutation.layer_norms import LayerNorm
from linconn_jax.permutation.spec import Spec, parents, sizes
from linconn_jax.permutation.store import load, save
from linconn_jax.permutation.widen import widen

__all__ = [
    "Axes",
    "Block",
    "Concat",
    "Discovery",
    "Fixed",
    "Framed",
    "LayerNorm",
    "Permutation",
    "Report",
    "Spec",
    "Stacked",
    "Units",
    "agreement",
    "compose",
    "cycle_type",
    "describe",
    "discover",
    "examine",
    "from_indices",
    "identity",
    "inverse",
    "load",
    "order",
    "overall",
    "parents",
    "permute",
    "power",
    "random",
    "save",
    "sizes",
    "verify",
    "widen",
]
