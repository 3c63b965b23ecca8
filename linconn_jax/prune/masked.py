"""Trees with zeros where masks remove."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.prune.tree import flat
from linconn_jax.typing import Array, PyTree


def apply(masks: PyTree, tree: PyTree) -> PyTree:
    """The tree with zeros (never -0, whatever was there) where masks are False.

    Args:
      masks: bool arrays of the host, or of JAX, also traced ones.
      tree: variables, gradients or momenta of the same structure. Leaves may have leading
        axes that the masks do not have (networks stacked along them).

    Returns:
      A tree of the same shapes and dtypes. NumPy arrays stay on the host; leaves of which
      a mask of the host removes nothing are the same objects.

    Raises:
      ValueError: the structures differ, or a leaf does not end in the shape of its mask.
    """
    held, given = flat(masks), flat(tree)
    if held.structure != given.structure:
        raise ValueError(
            f"the masks have the leaves {held.paths} ({held.structure}) and the tree "
            f"{given.paths} ({given.structure}); they must be alike (for a part of the "
            "variables take this part of the masks)"
        )
    return held.tree(
        [
            _applied(path, mask, leaf)
            for path, mask, leaf in zip(
                held.paths, held.leaves, given.leaves, strict=True
            )
        ]
    )


def _applied(path: str, mask: Array, leaf: Any) -> Any:
    shape, more = np.shape(leaf), np.ndim(leaf) - mask.ndim
    if more < 0 or shape[more:] != mask.shape or mask.dtype != bool:
        raise ValueError(
            f"leaf {path} has shape {shape} and its mask shape {mask.shape} and dtype "
            f"{mask.dtype}; a mask must be bool, and its shape that of the leaf or the "
            "end of it"
        )
    if isinstance(mask, np.ndarray) and mask.all():
        return leaf
    mask = mask.reshape((1,) * more + mask.shape)
    if isinstance(leaf, jax.Array) or isinstance(mask, jax.Array):
        leaf = jnp.asarray(leaf)
        return jnp.where(mask, leaf, jnp.zeros((), leaf.dtype))
    leaf = np.asarray(leaf)
    return np.where(mask, leaf, np.zeros((), leaf.dtype))
