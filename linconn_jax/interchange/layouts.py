"""How the array of a torch parameter lies in a tree, and back."""

import dataclasses
from collections.abc import Callable

import numpy as np

from linconn_jax import checks


@dataclasses.dataclass(frozen=True)
class Layout:
    """A re-ordering of the elements of one array, and its inverse.

    Attributes:
      to_tree: from the array of a `state_dict` to the leaf of a tree.
      to_torch: from the leaf to the array.
    """

    to_tree: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda array: array, lambda leaf: leaf)
DENSE = Layout(lambda array: array.T, lambda leaf: leaf.T)
"""[outputs, inputs] in torch, [inputs, outputs] in a tree."""


def _conv_to_tree(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, (0, 1), (-1, -2))


def _conv_to_torch(leaf: np.ndarray) -> np.ndarray:
    return np.moveaxis(leaf, (-1, -2), (0, 1))


CONV = Layout(_conv_to_tree, _conv_to_torch)
"""[outputs, inputs, *window] in torch, [*window, inputs, outputs] in a tree (OIHW and
HWIO in two dimensions). With groups, `inputs` are those of one group in both."""


def flattened(*window: int) -> Layout:
    """A dense layer that reads a flattened map of `window` positions.

    torch flattens [channels, height, width] and JAX's layers [height, width, channels],
    so the inputs of the kernel are re-ordered as well as transposed.

    Raises:
      ValueError: a length is no integer of at least 1.
    """
    lengths = checks.several(checks.whole(1)).called(
        "the lengths of the map that was flattened, each an integer of at least 1, such "
        "as (7, 7)"
    )
    checks.check("flattened", window, lengths)
    positions = int(np.prod(window))

    def to_tree(array: np.ndarray) -> np.ndarray:
        outputs, inputs = array.shape
        if inputs % positions:
            raise ValueError(
                f"{inputs} inputs are not {window} positions of some channels"
            )
        return _conv_to_tree(array.reshape(outputs, -1, *window)).reshape(-1, outputs)

    def to_torch(leaf: np.ndarray) -> np.ndarray:
        outputs = leaf.shape[-1]
        return _conv_to_torch(leaf.reshape(*window, -1, outputs)).reshape(outputs, -1)

    return Layout(to_tree, to_torch)
