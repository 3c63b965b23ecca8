"""Which axes of a leaf its units stand along, and which of them its inputs.

A spec does not say in which direction a kernel is used. The axis of the layer's bias, a
leaf with fewer axes beside it in the tree, is that of the units it makes; without one it
is the last axis, as in Flax.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from linconn_jax.permutation import Axes, BoundSpec, Stacked
from linconn_jax.permutation.axis_layout import names

Along = tuple[object, ...]
"""The labels of an axis, one for each layer of a stack."""


@dataclasses.dataclass(frozen=True)
class Directed:
    """A leaf by its axes; that of a stack of layers is the first, if it is one.

    Attributes:
      layer: path of the node of the tree that holds the leaf.
      along: the labels of each axis.
      stack: the axis of a stack of layers, or none.
      outputs: of the units that the leaf makes, with the axes of their parents and of a
        stack.
    """

    layer: str
    along: tuple[Along, ...]
    stack: tuple[int, ...]
    outputs: tuple[int, ...]


def directed(bound: BoundSpec, numbers: Iterable[int]) -> dict[int, Directed]:
    """Leaves by number; those without axes are left out."""
    along = {i: _along(bound.axes[i], bound.shapes[i]) for i in sorted(numbers)}
    along = {i: x for i, x in along.items() if x}
    layers = {i: bound.paths[i].rpartition("/")[0] for i in along}
    found = {}
    for i, labels in along.items():
        beside = {
            (along[j][-1], bound.shapes[j][-1])
            for j in along
            if layers[j] == layers[i] and len(along[j]) < len(labels)
        }
        stack = (0,) if isinstance(bound.axes[i], Stacked) else ()
        own = [
            k
            for k, both in enumerate(zip(labels, bound.shapes[i], strict=True))
            if both in beside and k not in stack
        ]
        last = own[-1] if own else len(labels) - 1
        outputs = sorted({*stack, last, *_above(bound, labels, last)})
        found[i] = Directed(layers[i], labels, stack, tuple(outputs))
    return found


def _along(axes: Axes | Stacked, shape: tuple[int, ...] | None) -> tuple[Along, ...]:
    if shape is None or not axes.ndim:
        return ()
    layers = axes.axes if isinstance(axes, Stacked) else (axes,)
    each = zip(*(one.labels for one in layers), strict=True)
    return ((),) * isinstance(axes, Stacked) + tuple(each)


def _above(bound: BoundSpec, labels: tuple[Along, ...], axis: int) -> set[int]:
    """The axes on which parents of an axis's units are."""
    each = [{x for label in one for x in names(label)} for one in labels]
    parents = {x for name in each[axis] for x in bound.parents.get(name, ())}
    return {k for k, found in enumerate(each) if found & parents}


def squares(
    leaves: dict[int, np.ndarray], kept: dict[int, tuple[int, ...]]
) -> dict[int, np.ndarray]:
    """Sums of squares of each leaf over all axes but those that are kept.

    The others have length 1 in them.
    """
    return {
        i: np.square(x, dtype=np.float64).sum(
            tuple(k for k in range(x.ndim) if k not in kept[i]), keepdims=True
        )
        for i, x in leaves.items()
    }
