"""How much levels of pruning leave, by counts alone."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from linconn_jax.prune.tree import flat
from linconn_jax.typing import PyTree


def planned_density(
    variables: PyTree,
    fraction: float,
    levels: int,
    *,
    scope: str = "global",
    exclude: Sequence[str] = (),
) -> float:
    """The overall density (`densities`) that so many calls of `magnitude` leave.

    Args:
      variables: of one network, or shapes.
      fraction, scope, exclude: as of `magnitude`.
      levels: how often it is called.

    Raises:
      ValueError: a pattern makes no sense, or not so many levels can be pruned.
    """
    found, part = flat(variables), Fraction(str(fraction))
    sizes = {i: math.prod(np.shape(found.leaves[i])) for i in found.kernels}
    chosen = found.chosen(exclude)
    groups = [sum(sizes.values())] if scope == "global" else [sizes[i] for i in chosen]
    free = sum(sizes[i] for i in chosen)
    stay = sum(sizes.values()) - sum(groups)
    for level in range(1, levels + 1):
        gone = [math.ceil(part * left) for left in groups]
        if not 0 < sum(gone) <= free:
            raise ValueError(
                f"level {level} of pruning has {sum(gone)} weights to remove (fraction="
                f"{fraction} of what is left), and {free} are left that may be; ask "
                f"for fewer than {level} levels, a smaller fraction, or exclude less"
            )
        groups = [left - count for left, count in zip(groups, gone, strict=True)]
        free -= sum(gone)
    return (stay + sum(groups)) / sum(sizes.values())
