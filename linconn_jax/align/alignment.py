"""What every alignment method returns, and what it demands of the networks."""

import dataclasses
from typing import Any

import jax
import numpy as np

from linconn_jax.permutation import Permutation, Spec
from linconn_jax.permutation.spec import bind_leaves
from linconn_jax.typing import Variables


@dataclasses.dataclass(frozen=True)
class Alignment:
    """A permutation of one network towards a reference, and how it was found.

    Attributes:
      permutation: apply it to the *other* network with `permutation.permute`.
      objective: value of the method's own objective at `permutation`, to be compared
        only between alignments of one method and one pair.
      naive: value of the same objective at the identity.
      sweeps: passes over all axis names (1 for methods without iteration).
      converged: whether the method stopped by itself.
    """

    permutation: Permutation
    objective: float
    naive: float
    sweeps: int
    converged: bool


def check_networks(spec: Spec, reference: Variables, other: Variables) -> None:
    """Refuses what is not two networks of one width, or not the spec's.

    Raises:
      ValueError: naming the leaf.
    """
    bound, ours = bind_leaves(spec, reference)
    theirs = jax.tree.leaves(other, is_leaf=lambda x: x is None)
    for path, axes, a, b in zip(bound.paths, bound.axes, ours, theirs, strict=False):
        if np.shape(a) != np.shape(b) or (axes.ndim and np.ndim(a) != axes.ndim):
            raise ValueError(
                f"leaf {path} has shape {np.shape(a)} in the reference, {np.shape(b)} in "
                f"the other network and labels {axes} in the spec; all three must fit "
                "one network of one width (take one from a stack with trees.take)"
            )
    bound.leaves(other)


def check_count(option: str, value: Any, least: int) -> None:
    """Refuses what is not a whole number of at least `least`.

    Raises:
      ValueError: naming the option.
    """
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(
            f"{option}={value!r}; it must be an integer of at least {least}"
        )
