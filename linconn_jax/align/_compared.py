"""What of networks enters inner products of their weights, and on which scale."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from linconn_jax.align._directed import squares
from linconn_jax.align._families import Parents
from linconn_jax.align._fitted import fitted
from linconn_jax.align._options import Names, assigned
from linconn_jax.align._scaling import scaled
from linconn_jax.align._weights import Weights
from linconn_jax.align.alignment import check_networks
from linconn_jax.permutation import BoundSpec, Spec, Stacked
from linconn_jax.typing import PyTree, Variables


@dataclasses.dataclass(frozen=True)
class Compared:
    """Weights of networks, made ready for an ascent.

    Attributes:
      bound: spec of the networks.
      parents: of the names that a leaf carries; others stay.
      weights: the leaves, scaled and less their means.
      scale: of the objective.
      shared: what the means add to the objective, in units of the scale.
    """

    bound: BoundSpec
    parents: Parents
    weights: Weights
    scale: float
    shared: float

    def objective(self, value: float) -> float:
        """The sum of inner products of the networks as they were given."""
        return (value + self.shared) * self.scale


def compared(
    spec: Spec | BoundSpec,
    networks: Sequence[Variables],
    chosen: Callable[[str], bool] | PyTree | None = None,
    *,
    balanced: bool = False,
    names: Names | None = None,
) -> Compared:
    """The weights of networks, ready to be moved: of two the second, of more all.

    `balanced` says that each layer counts alike: its leaves (those of one parent in the
    tree; of a stack of layers each slice) are divided by their norm, the root mean square
    over the networks. Of
    `names` those that a leaf carries are assigned.

    Raises:
      ValueError: the networks do not fit each other or the spec, `chosen` or `names`
        choose nothing, or leaves are complex or not finite.
    """
    if len(networks) < 2:
        raise ValueError(
            f"{len(networks)} networks are given; two or more are aligned to each other"
        )
    *rest, last = networks
    pairs = [fitted(spec, network, last, chosen) for network in rest]
    networks, trained = [*(x for x, _ in pairs), last], pairs[0][1]
    bounds = [check_networks(spec, network, last) for network in networks[:-1]]
    bound, permuted = bounds[0], bounds[0].parents
    pieces = [piece for piece in bound.pieces if piece.leaf in trained]
    carried = {name for piece in pieces for name in piece.names}
    labelled = sorted(
        {piece.leaf for piece in pieces if not permuted.keys().isdisjoint(piece.names)}
    )
    found = [
        scaled({i: (bound.paths[i], leaves[i]) for i in labelled})
        for leaves in map(bound.leaves, networks)
    ]
    scales = [scale for _, scale, _ in found]
    # Two networks may be of any sizes; of several, the small must count for little.
    apart = len(found) == 2 and not balanced
    sizes = [1.0, 1.0] if apart else [x / max(scales) for x in scales]
    leaves = [
        {i: x * x.dtype.type(size) for i, x in one.items()}
        for size, (one, *_) in zip(sizes, found, strict=True)
    ]
    means = [
        {i: size * mean[i] for i in labelled}
        for size, (*_, mean) in zip(sizes, found, strict=True)
    ]
    norms = _norms(bound, leaves, means) if balanced else {}
    shared = _of_means(leaves[0], means, norms)
    for one in leaves:
        for i, norm in norms.items():
            one[i] = one[i] / norm.astype(one[i].dtype)
    # Names that no parameter carries have nothing to be matched by, and stay.
    some = assigned(bound, names)
    parents = {name: above for name, above in some.items() if name in carried}
    moving = range(len(networks) == 2, len(networks))
    return Compared(
        bound,
        parents,
        Weights(bound, parents, leaves, moving),
        1.0 if balanced else math.prod(scales) if apart else max(scales) ** 2,
        shared,
    )


def _norms(
    bound: BoundSpec,
    networks: Sequence[Mapping[int, np.ndarray]],
    means: Sequence[Mapping[int, float]],
) -> dict[int, np.ndarray]:
    """The norm of each leaf's layer, to divide the leaf by; of a stack, of each slice.

    Means count: a norm layer whose scales are all near 1 must not be taken for how little
    they differ.
    """
    kept = {i: (0,) if isinstance(bound.axes[i], Stacked) else () for i in networks[0]}
    layers = {i: (bound.paths[i].rpartition("/")[0], kept[i]) for i in networks[0]}
    total: dict[Any, np.ndarray] = {}
    for leaves, own in zip(networks, means, strict=True):
        for i, x in squares(leaves, kept).items():
            found = x.ravel() + leaves[i].size / x.size * own[i] ** 2
            total[layers[i]] = total.get(layers[i], 0.0) + found
    norms = {}
    for i, x in networks[0].items():
        norm = np.sqrt(total[layers[i]] / len(networks))
        norm = np.where(norm > 0, norm, 1.0)
        norms[i] = norm.reshape(-1, *[1] * (x.ndim - 1))
    return norms


def _of_means(
    leaves: Mapping[int, np.ndarray],
    means: Sequence[Mapping[int, float]],
    norms: Mapping[int, np.ndarray],
) -> float:
    """What the leaves' means add to the sum of all pairs' inner products."""
    counts = {
        i: x.size * float(np.mean(1 / np.square(norms[i]))) if i in norms else x.size
        for i, x in leaves.items()
    }
    pairs = itertools.combinations(means, 2)
    return sum((n * a[i] * b[i] for a, b in pairs for i, n in counts.items()), 0.0)
