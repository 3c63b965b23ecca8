"""Permutation symmetries: the spec of a model and the group that acts on it."""

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
    power,
    random,
)
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
from linconn_jax.permutation.spec import Spec, parents, sizes
from linconn_jax.permutation.store import load, save

__all__ = [
    "Axes",
    "Block",
    "Concat",
    "Fixed",
    "Framed",
    "Permutation",
    "Spec",
    "Stacked",
    "Units",
    "agreement",
    "compose",
    "cycle_type",
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
]
