"""Networks as they are given: in a list, or stacked in one tree."""

from typing import Any

import numpy as np

from linconn_jax import trees
from linconn_jax.permutation import BoundSpec, Spec, bind
from linconn_jax.typing import Variables

_FORMS = (
    "networks are given in a list or a tuple, or stacked: as one tree of a network's "
    "structure whose leaves all have one more axis in front (trees.stack makes it)"
)


def listed(spec: Spec | BoundSpec, networks: Any) -> tuple[list[Variables], bool]:
    """The networks one by one, and whether they were given as a stack.

    A tree with the structure of the spec, which is that of one network, is a stack,
    even if this structure is itself a list or a tuple. Any other list or tuple holds one
    network in each place.

    Raises:
      ValueError: it is neither, or leaves of a stack do not have one leading axis.
    """
    try:
        bound = bind(spec, networks)
    except ValueError as error:
        if isinstance(networks, list | tuple):
            return list(networks), False
        raise ValueError(
            f"networks is a {type(networks).__name__} that is no stack ({error}); "
            f"{_FORMS}"
        ) from error
    for path, axes, leaf in zip(
        bound.paths, bound.axes, bound.leaves(networks), strict=True
    ):
        if leaf is not None and axes.ndim and np.ndim(leaf) != axes.ndim + 1:
            raise ValueError(
                f"networks has the structure of one network, but leaf {path} of shape "
                f"{np.shape(leaf)} does not have one axis before those that its spec "
                f"{axes} labels; {_FORMS}"
            )
    count = trees.leading_size(networks)
    return [trees.take(networks, i) for i in range(count)], True
