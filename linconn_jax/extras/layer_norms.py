"""Norms over units, rescaled so that units of zeros beside theirs change nothing.

A layer-norm divides by a deviation over all units, so it does look at how many there are.
It ignores a shift common to all, so the layers that feed it can be centred (their mean
over the output units subtracted, from kernels and biases), and then:

    n units x with mean 0            variance  Σ x² / n
    N units √(N/n) · (x, 0, …, 0)    variance  (N/n) · Σ x² / N, the same

The variance, and so epsilon's part in it, is as before; outputs are √(N/n) too large,
which the norm's scale takes back.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from linconn_jax.permutation.labels import Axes, Stacked, Units
from linconn_jax.typing import Array


@dataclasses.dataclass(frozen=True)
class LayerNorm:
    """Norms over the units of one axis name, and all that is added up to their input.

    Attributes:
      scales: paths of the norms' scales, such as `("params/norm_1/scale",)`; several if
        several norms read one residual stream.
      writers: paths of the kernels, biases and tables whose sum the norms read,
        `("params/dense_1/kernel", "params/dense_1/bias")`; of a residual stream all that
        write to it. Nobody but the norms may read that sum.
      centred: whether the norms subtract the mean; False for RMSNorm.
    """

    scales: str | Sequence[str]
    writers: str | Sequence[str]
    centred: bool = True

    def __post_init__(self) -> None:
        for name in ("scales", "writers"):
            object.__setattr__(self, name, as_names(getattr(self, name)))


def as_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several as a tuple: a lone text would be read letter by letter."""
    return (names,) if isinstance(names, str) else tuple(names)


class Rescale(NamedTuple):
    """What becomes of one leaf of a norm or of its writers.

    Attributes:
      factor: that it is multiplied by.
      centred: the axis, counted from the end, whose mean is subtracted first, or None.
    """

    factor: float
    centred: int | None = None

    def __call__(self, leaf: Array) -> Array:
        """The leaf, centred and multiplied."""
        if self.centred is not None:
            leaf = leaf - leaf.mean(axis=self.centred, keepdims=True)
        return leaf * np.asarray(self.factor, leaf.dtype)


def rescales(
    norm: LayerNorm,
    arrays: Collection[str],
    axes: Mapping[str, Axes | Stacked],
    old: Mapping[str, int],
    new: Mapping[str, int],
) -> dict[str, Rescale]:
    """By path, how a norm and its writers change such that padding changes nothing.

    Args:
      norm: and all that writes to it.
      arrays: paths of the leaves that are arrays.
      axes: labels of all leaves.
      old, new: sizes of all names.

    Raises:
      ValueError: a path is no array leaf, or its labels are not those of a scale or of
        what writes to the units of the norm.
    """
    for path in (*norm.scales, *norm.writers):
        if path not in arrays:
            raise ValueError(
                f"{norm} names {path!r}, which is no array leaf; there are "
                f"{sorted(arrays)}"
            )
    names = {_only_units(path, axes[path]) for path in norm.scales}
    if len(names) != 1:
        raise ValueError(
            f"the scales of {norm} belong to the units of {sorted(names)}; they must "
            "belong to one axis name"
        )
    (name,) = names
    written = {path: _written(path, axes[path], name) for path in norm.writers}
    if new[name] == old[name]:
        return {}
    ratio = math.sqrt(new[name] / old[name])
    return dict.fromkeys(norm.scales, Rescale(1 / ratio)) | {
        path: Rescale(ratio, axis if norm.centred else None)
        for path, axis in written.items()
    }


def check_once(norms: Sequence[LayerNorm]) -> None:
    """Refuses norms that share a leaf, which would be rescaled twice."""
    paths = [path for norm in norms for path in (*norm.scales, *norm.writers)]
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise ValueError(
            f"layer_norms names {twice} more than once; norms that read the same stream "
            "are one LayerNorm with several scales"
        )


def _only_units(path: str, axes: Axes | Stacked) -> str:
    labels = axes.labels if isinstance(axes, Axes) else ()
    if len(labels) != 1 or not isinstance(labels[0], Units) or labels[0].under:
        raise ValueError(
            f"the scale {path} has labels {axes}; it must have one axis, and that the "
            "units of one name"
        )
    return labels[0].name


def _written(path: str, axes: Axes | Stacked, name: str) -> int:
    """The axis, counted from the end, on which a leaf writes to the units of `name`."""
    labels = axes.labels if isinstance(axes, Axes) else ()
    places = [
        i for i, x in enumerate(labels) if isinstance(x, Units) and x.name == name
    ]
    if len(places) != 1:
        raise ValueError(
            f"{path} with labels {axes} should write to the units of {name!r} that a "
            f"layer-norm reads, but {len(places)} of its axes are these units"
        )
    return places[0] - len(labels)
