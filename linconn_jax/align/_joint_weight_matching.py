"""One permutation for several pairs of networks: the sum of their inner products."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.align._fitted import without
from linconn_jax.align._weight_matching import weight_matching
from linconn_jax.align._weight_method import Settings, check
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method, register
from linconn_jax.permutation import Axes, BoundSpec, Spec, Stacked, bind
from linconn_jax.typing import Array, Key, PyTree, Variables


def joint_weight_matching(
    spec: Spec | BoundSpec,
    references: Sequence[Variables],
    others: Sequence[Variables],
    *,
    key: Key,
    leaves: Callable[[str], bool] | PyTree | None = None,
    restarts: int = 1,
    max_sweeps: int = 100,
    accept: str = "relative",
) -> Alignment:
    """The P that (locally) maximises `Σ_t ⟨references[t], P[others[t]]⟩`.

    Two sequences of networks, such as two runs' checkpoints, are aligned by one
    permutation. It is weight matching of two networks each of whose leaves has all
    members of a sequence along one more axis, that nothing permutes. Products are summed
    as they are: a pair with larger weights counts for more.

    Args:
      spec: of each network, a tree of `Axes` or bound.
      references: T networks that stay.
      others: T networks, all moved alike; the t-th is compared with the t-th reference.
      key: draws the order of the layers.
      leaves: what the permutation is fitted to, as in `weight_matching`.
      restarts: so many runs, of which the best is returned.
      max_sweeps: upper bound on passes over all layers, in each run.
      accept: which assignments improve a layer, as in `weight_matching`.

    Returns:
      An alignment of two: `alignment.apply(others[t])` is aligned to `references[t]`. Of
      one pair it is that of `weight_matching`.

    Raises:
      ValueError: the sequences are empty or of different lengths, or as
        `weight_matching`.
    """
    if not references or len(references) != len(others):
        raise ValueError(
            f"{len(references)} references and {len(others)} others are given; two "
            "sequences are aligned pair by pair: give as many of each, at least one"
        )
    bound = bind(spec, references[0])
    labels = bound.tree([_labels(axes) for axes in bound.axes])
    stacked = [_stacked(bound, networks) for networks in (references, others)]
    found = weight_matching(
        labels,
        *stacked,
        key=key,
        leaves=leaves,
        restarts=restarts,
        max_sweeps=max_sweeps,
        accept=accept,
    )
    return Alignment(
        spec,
        found.permutations,
        objective=found.objective,
        naive=found.naive,
        history=found.history,
        converged=found.converged,
        reached=found.reached,
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


def _find(
    context: Context, networks: Sequence[Variables], key: Key, settings: Settings
) -> Alignment:
    half = len(networks) // 2
    references, others = networks[:half], networks[half:]
    return joint_weight_matching(
        context.spec,
        references,
        others,
        key=key,
        leaves=without(context.spec, references[0], others[0], settings.leave_out),
        accept=settings.accept,
        restarts=settings.restarts,
    )


register(
    Method(
        "joint_weight_matching",
        _find,
        settings=Settings,
        check=check,
        sequences=True,
        colour="#009e73",
        marker="P",
        order=4,
    )
)
