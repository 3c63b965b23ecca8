"""What every alignment method returns, and what it demands of the networks."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax import checks, trees
from linconn_jax import permutation as pm
from linconn_jax.align._networks import listed
from linconn_jax.permutation import BoundSpec, Permutation, Spec, bind, permute
from linconn_jax.typing import PyTree, Variables

_RECORD = ("objective", "naive", "history", "converged", "seconds", "reached")


@dataclasses.dataclass(frozen=True)
class Alignment:
    """One permutation for each of k networks, and how they were found.

    A pairwise method aligns the second network to the first: `permutations[0]` moves
    nothing there, and `apply(other)` is the aligned network.

    Attributes:
      spec: of the networks.
      permutations: k of them, in the order in which the networks were given.
      objective: value of the method's own objective at `permutations`, to be compared
        only between alignments of one method and the same networks; NaN if it has none.
      naive: value of the same objective where nothing is moved.
      history: the objective after each sweep over all axis names.
      converged: whether the method stopped by itself.
      seconds: that the call took; NaN if nobody measured.
      reached: the objective of each run, where several were made and this is the best.
    """

    spec: Spec | BoundSpec
    permutations: tuple[Permutation, ...]
    objective: float = float("nan")
    naive: float = float("nan")
    history: tuple[float, ...] = ()
    converged: bool = True
    seconds: float = float("nan")
    reached: tuple[float, ...] = ()

    @property
    def permutation(self) -> Permutation:
        """Of a pair: the permutation of the second network.

        Raises:
          ValueError: there are three networks or more.
        """
        if len(self.permutations) != 2:
            raise ValueError(
                f"this alignment is of {len(self.permutations)} networks; take one of "
                ".permutations, or .apply(network, i)"
            )
        return self.permutations[1]

    @property
    def sweeps(self) -> int:
        """Passes over all axis names."""
        return len(self.history)

    def apply(self, network: PyTree, i: int | None = None) -> PyTree:
        """The i-th network, or any tree of its structure, permuted.

        Gradients, masks, momenta and other checkpoints of that network are moved alike.

        Args:
          network: the tree.
          i: which of the networks it belongs to; of a pair the second by default.

        Raises:
          ValueError: the tree does not fit the spec, or `i` is no number of a network,
            or is left out where there are three or more.
        """
        if i is None:
            return permute(self.spec, self.permutation, network)
        i = checks.check("i", i, checks.whole(0, len(self.permutations) - 1))
        return permute(self.spec, self.permutations[i], network)

    def apply_all(self, networks: Sequence[PyTree] | PyTree) -> PyTree:
        """All k networks, each permuted by its own permutation.

        Args:
          networks: in a list or a tuple, or stacked in one tree of a network's structure
            whose leaves have one more axis in front, as `align.joint` takes them.

        Returns:
          A tuple of k networks; of a stack a stack.

        Raises:
          ValueError: there are not k networks, or it is neither.
        """
        each, stacked = listed(self.spec, networks)
        if len(each) != len(self.permutations):
            raise ValueError(
                f"{len(each)} networks are given; this alignment is of "
                f"{len(self.permutations)}: give them in the same order"
            )
        moved = tuple(self.apply(network, i) for i, network in enumerate(each))
        return trees.stack(moved) if stacked else moved

    def save(self, path: str | os.PathLike, /, **about: Any) -> None:
        """Writes all but the spec, with what JSON can say `about` it.

        One file of `permutation.save`: `permutation.load_all` reads it without a spec.

        Raises:
          ValueError: as `permutation.save`.
        """
        if taken := sorted({*_RECORD} & about.keys()):
            raise ValueError(
                f"{taken} is part of the alignment; say it by another name"
            )
        record = {name: getattr(self, name) for name in _RECORD}
        known = {name: x for name, x in record.items() if x == x}  # NaN is left out
        if not self.reached:
            del known["reached"]  # as files have always been
        pm.save(path, self.permutations, **about, **known)

    @classmethod
    def load(cls, path: str | os.PathLike, spec: Spec | BoundSpec) -> "Alignment":
        """What `save` wrote; a bound spec is checked against the permutations.

        Raises:
          ValueError: the file is damaged, or no alignment, or of another spec.
          FileNotFoundError: there is none.
        """
        permutations, about = pm.load_all(path)
        if isinstance(spec, BoundSpec):
            for one in permutations:
                if one.nesting:  # which files of earlier versions do not say
                    spec.check(one)
            permutations = tuple(pm.from_indices(spec, None, p) for p in permutations)
        if "history" not in about:
            raise ValueError(
                f"{path} holds permutations and no alignment; read it with "
                "permutation.load_all(path)"
            )
        record = {name: about[name] for name in _RECORD if name in about}
        lists = {name: tuple(about.get(name, ())) for name in ("history", "reached")}
        return cls(spec, permutations, **record | lists)


def check_networks(
    spec: Spec | BoundSpec, reference: Variables, other: Variables
) -> BoundSpec:
    """The spec bound to two networks of one width.

    Raises:
      ValueError: the networks do not fit each other or the spec, naming the leaf.
    """
    bound = bind(spec, reference)
    ours, theirs = (
        jax.tree.leaves(x, is_leaf=lambda y: y is None) for x in (reference, other)
    )
    for path, axes, a, b in zip(bound.paths, bound.axes, ours, theirs, strict=False):
        if np.shape(a) != np.shape(b) or (axes.ndim and np.ndim(a) != axes.ndim):
            raise ValueError(
                f"leaf {path} has shape {np.shape(a)} in the reference, {np.shape(b)} in "
                f"the other network and labels {axes} in the spec; all three must fit "
                "one network of one width (take one from a stack with trees.take)"
            )
    bind(spec, other)
    return bound
