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
      ValueError: a pattern makes no sense.
    """
    found, part = flat(variables), Fraction(str(fraction))
    sizes = {i: math.prod(np.shape(found.leaves[i])) for i in found.kernels}
    chosen = found.chosen(exclude)
    groups = [sum(sizes.values())] if scope == "global" else [sizes[i] for i in chosen]
    stay = sum(sizes.values()) - sum(groups)
    for _ in range(levels):
        groups = [left - math.ceil(part * left) for left in groups]
    return (stay + sum(groups)) / sum(sizes.values())
