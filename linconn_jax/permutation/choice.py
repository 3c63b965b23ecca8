"""Which leaves permutations are fitted to, and which are state."""

from collections.abc import Callable

import jax
import numpy as np

from linconn_jax.permutation._discover.state import as_state
from linconn_jax.permutation.spec import BoundSpec, Spec, bind
from linconn_jax.typing import PyTree


def fitted_to(
    spec: Spec | BoundSpec, tree: PyTree, leaves: Callable[[str], bool] | PyTree
) -> Spec:
    """The spec by which permutations are fitted to some leaves, the others being state.

    Args:
      spec: of the tree.
      tree: arrays or `jax.ShapeDtypeStruct`s.
      leaves: a function of a leaf's path, or a tree of bools.

    Raises:
      ValueError: the spec does not fit the tree, or no leaf is chosen.
    """
    bound = bind(spec, tree)
    numbers = set(chosen_leaves(bound, leaves))
    return bound.tree(
        [as_state(axes, i not in numbers) for i, axes in enumerate(bound.axes)]
    )


def chosen_leaves(
    bound: BoundSpec, leaves: Callable[[str], bool] | PyTree
) -> list[int]:
    """Numbers of the leaves that a function of the path or a tree of bools chooses.

    Raises:
      ValueError: it is neither, or chooses none.
    """
    if callable(leaves):
        said = list(map(leaves, bound.paths))
    else:
        said, given = jax.tree.flatten(leaves, is_leaf=lambda x: x is None)
        if given != bound.structure:
            said = []
    if not all(isinstance(x, bool | np.bool_) for x in said) or not any(said):
        raise ValueError(
            f"leaves={leaves!r} chooses no leaf to fit a permutation to; it must be a "
            "function of a leaf's path that returns True or False, or a tree of bools "
            f"with the structure of the networks, whose leaves are {list(bound.paths)}"
        )
    return [i for i, x in enumerate(said) if x]
