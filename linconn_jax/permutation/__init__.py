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
from linconn_jax.permutation.spec import Axes, Block, Spec, sizes

__all__ = [
    "Axes",
    "Block",
    "Permutation",
    "Spec",
    "agreement",
    "compose",
    "identity",
    "inverse",
    "overall",
    "permute",
    "random",
    "sizes",
]
