"""Permutation symmetries: the spec of a model and the group that acts on it."""

from linconn_jax.permutation.algebra import (
    Permutation,
    agreement,
    compose,
    identity,
    inverse,
    overall,
    permute,
    random,
)
from linconn_jax.permutation.spec import (
    Axes,
    Block,
    Concat,
    Fixed,
    Spec,
    Stacked,
    Units,
    parents,
    sizes,
)

__all__ = [
    "Axes",
    "Block",
    "Concat",
    "Fixed",
    "Permutation",
    "Spec",
    "Stacked",
    "Units",
    "agreement",
    "compose",
    "identity",
    "inverse",
    "overall",
    "parents",
    "permute",
    "random",
    "sizes",
]
