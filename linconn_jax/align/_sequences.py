"""Two sequences of networks as two networks, whose leaves hold all members."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.align._fitted import Leaves, fitted
from linconn_jax.align.alignment import check_networks
from linconn_jax.permutation import (
    Axes,
    BoundSpec,
    Permutation,
    Spec,
    Stacked,
    bind,
    permute,
)
from linconn_jax.typing import Array, Float, Variables


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Pairs of networks, stacked along one more axis that nothing permutes.

    Attributes:
      spec: of the two stacks.
      references: the networks that stay.
      others: those that are moved.
      leaves: what is compared, as in `weight_matching`.
      count: of pairs.
    """

    spec: BoundSpec
    references: Variables
    others: Variables
    leaves: Leaves
    count: int

    def times(self, weights: Float[np.ndarray, " pairs"]) -> Variables:
        """The references, each times its weight."""
        if np.all(weights == 1):
            return self.references
        each = zip(self.spec.axes, self.spec.leaves(self.references), strict=True)
        return self.spec.tree([_times(axes, x, weights) for axes, x in each])

    def products(self, permutation: Permutation) -> Float[np.ndarray, " pairs"]:
        """`⟨references[t], P[others[t]]⟩` of each pair, over what is compared."""
        moved = permute(self.spec, permutation, self.others)
        return self._products(self.references, moved)

    def norms(self) -> Float[np.ndarray, " pairs"]:
        """`‖references[t]‖ ‖others[t]‖` of each pair; 1 where that is 0."""
        each = self.references, self.others
        squares = [self._products(x, x) for x in each]
        found = np.sqrt(squares[0]) * np.sqrt(squares[1])
        return np.where(found > 0, found, 1.0)

    def _products(self, a: Variables, b: Variables) -> Float[np.ndarray, " pairs"]:
        a, numbers = fitted(self.spec, a, b, self.leaves)
        bound = check_networks(self.spec, a, b)
        named = [
            x for x in bound.pieces if not bound.parents.keys().isdisjoint(x.names)
        ]
        ours, theirs = bound.leaves(a), bound.leaves(b)
        total = np.zeros(self.count)
        for i in {piece.leaf for piece in named} & numbers:
            rows = [_rows(bound.axes[i], x[i]) for x in (ours, theirs)]
            total += np.einsum("pk,pk->p", *rows)
        return total


def sequences(
    spec: Spec | BoundSpec,
    references: Sequence[Variables],
    others: Sequence[Variables],
    leaves: Leaves,
) -> Sequences:
    """The two sequences, stacked.

    Raises:
      ValueError: they are empty or of different lengths, or do not fit the spec.
    """
    check_lengths(references, others)
    bound = bind(spec, references[0])
    labels = bound.tree([_labels(axes) for axes in bound.axes])
    stacks = [_stacked(bound, networks) for networks in (references, others)]
    return Sequences(bind(labels, stacks[0]), *stacks, leaves, len(references))


def check_lengths(references: Sequence[Variables], others: Sequence[Variables]) -> None:
    """Refuses with a ValueError sequences that are empty or of different lengths."""
    if not references or len(references) != len(others):
        raise ValueError(
            f"{len(references)} references and {len(others)} others are given; two "
            "sequences are aligned pair by pair: give as many of each, at least one"
        )


def _labels(axes: Axes | Stacked) -> Axes | Stacked:
    """The labels of a leaf with one more axis, after that of a stack of layers."""
    if isinstance(axes, Stacked):
        return Stacked(*map(_labels, axes.axes))
    return Axes(None, *axes.labels, state=axes.state) if axes.ndim else axes


def _stacked(bound: BoundSpec, networks: Sequence[Variables]) -> Variables:
    """A tree whose leaves hold those of all networks, on the host."""
    each = zip(*map(bound.leaves, networks), strict=True)
    return bound.tree(
        [_leaf(axes, leaves) for axes, leaves in zip(bound.axes, each, strict=True)]
    )


def _leaf(axes: Axes | Stacked, leaves: Sequence[Any]) -> Array | None:
    if leaves[0] is None:
        return None
    axis = int(isinstance(axes, Stacked))
    if all(isinstance(x, jax.Array) for x in leaves):
        return jnp.stack(leaves, axis)
    return np.stack(leaves, axis)


def _times(
    axes: Axes | Stacked, leaf: Any, weights: Float[np.ndarray, " pairs"]
) -> Any:
    if leaf is None or not axes.ndim:
        return leaf
    shape = [1] * np.ndim(leaf)
    shape[int(isinstance(axes, Stacked))] = len(weights)
    x = np.asarray(leaf)
    return (x * weights.reshape(shape)).astype(np.promote_types(x.dtype, np.float32))


def _rows(axes: Axes | Stacked, leaf: Any) -> Float[np.ndarray, "pairs entries"]:
    x = np.moveaxis(np.asarray(leaf), int(isinstance(axes, Stacked)), 0)
    return x.reshape(len(x), -1).astype(np.float64)
