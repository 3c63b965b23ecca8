"""Masks as lists of leaves, and which of them may be pruned."""

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.trees import path_name
from linconn_jax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Flat:
    """A tree taken apart.

    Attributes:
      leaves: in the order of the tree.
      paths: of each leaf, such as "params/dense_1/kernel".
      structure: puts leaves together again.
      kernels: numbers of the leaves that may be pruned unless they are excluded.
    """

    leaves: list[Any]
    paths: list[str]
    structure: Any
    kernels: list[int]

    def tree(self, leaves: Sequence[Any]) -> PyTree:
        """A tree of this structure."""
        return self.structure.unflatten(leaves)

    def chosen(self, exclude: Sequence[str]) -> list[int]:
        """Numbers of the kernels that no pattern excludes, in order.

        Raises:
          ValueError: a pattern matches no kernel, or no kernel is left.
        """
        patterns = checks.check("exclude", exclude, checks.several(checks.TEXT))
        paths = {i: self.paths[i] for i in self.kernels}
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(path, pattern) for path in paths.values()):
                raise ValueError(
                    f"exclude={patterns}: {pattern!r} matches none of the kernels "
                    f"{list(paths.values())}; it must match a whole path, as "
                    "'*/head/kernel' does"
                )
        left = [
            i
            for i, path in paths.items()
            if not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
        ]
        if not left:
            raise ValueError(
                f"exclude={patterns} leaves nothing to prune: the kernels (leaves of at "
                f"least two axes, of params if there are any) are {list(paths.values())} "
                f"among the leaves {self.paths}"
            )
        return left


def count(mask: np.ndarray) -> int:
    """How many entries are kept, as an integer of Python."""
    return int(np.count_nonzero(mask))


def flat(tree: PyTree) -> Flat:
    """Takes apart a tree of arrays or of shapes."""
    found, structure = jax.tree_util.tree_flatten_with_path(tree)
    paths = [path_name(path) for path, _ in found]
    leaves = [leaf for _, leaf in found]
    trained = "params/" if isinstance(tree, Mapping) and "params" in tree else ""
    kernels = [
        i
        for i, (path, leaf) in enumerate(zip(paths, leaves, strict=True))
        if path.startswith(trained) and len(np.shape(leaf)) >= 2
    ]
    return Flat(leaves, paths, structure, kernels)


def flat_masks(masks: PyTree) -> Flat:
    """Takes apart masks; their leaves come as NumPy arrays.

    Raises:
      ValueError: a leaf is not bool.
    """
    found = flat(masks)
    leaves = [np.asarray(x) for x in found.leaves]
    for path, leaf in zip(found.paths, leaves, strict=True):
        if leaf.dtype != bool:
            raise ValueError(
                f"leaf {path} of the masks has dtype {leaf.dtype}; masks are trees of "
                "bool arrays beside the variables (see prune.dense)"
            )
    return dataclasses.replace(found, leaves=leaves)


def check_alike(masks: Flat, other: Flat, what: str) -> None:
    """Refuses a tree that has another structure or other shapes than masks.

    Raises:
      ValueError: saying where.
    """
    if other.structure != masks.structure:
        raise ValueError(
            f"the masks have the leaves {masks.paths} ({masks.structure}) and {what} "
            f"{other.paths} ({other.structure}); they must be alike (masks are made by "
            "prune.dense from all variables)"
        )
    for path, mask, leaf in zip(masks.paths, masks.leaves, other.leaves, strict=True):
        if np.shape(leaf) != mask.shape:
            raise ValueError(
                f"leaf {path} has shape {mask.shape} in the masks and {np.shape(leaf)} "
                f"in {what}; all must be of one network"
            )


def prunable(tree: PyTree, *, exclude: Sequence[str] = ()) -> tuple[str, ...]:
    """Paths of the leaves that may be pruned, in the order of the tree.

    Args:
      tree: variables, masks or shapes of one network.
      exclude: patterns of paths of kernels that may not.

    Raises:
      ValueError: a pattern matches no kernel, or no kernel is left.
    """
    found = flat(tree)
    return tuple(found.paths[i] for i in found.chosen(exclude))
