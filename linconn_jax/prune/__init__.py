"""Pruning: which weights of a network are kept, a tree of bools beside its variables.

Masks are pytrees of NumPy bool arrays with the structure and shapes of the variables:
True where a weight is kept, and everywhere in leaves that are never pruned. So whatever
acts on variables acts on masks: `permutation.permute(spec, p, masks)` moves them.

**What may be pruned** are the kernels of convolutions and dense layers: leaves of at
least two axes, of `params` if the tree has it. `exclude` exempts some of them: patterns
of `fnmatch` over paths such as `params/conv_1/kernel`, in which `*` matches "/" too
(`exclude=("*/head/kernel",)` for the last layer). A pattern that matches no kernel is an
error.

All is done by NumPy on the host, for one network at a time; `apply` works anywhere.
"""

from linconn_jax.prune.masked import apply
from linconn_jax.prune.measures import (
    Fractions,
    densities,
    overlap,
    overlap_by_chance,
)
from linconn_jax.prune.removal import dense, magnitude, random
from linconn_jax.prune.store import about, load, save
from linconn_jax.prune.tree import prunable

__all__ = [
    "Fractions",
    "about",
    "apply",
    "dense",
    "densities",
    "load",
    "magnitude",
    "overlap",
    "overlap_by_chance",
    "prunable",
    "random",
    "save",
]
