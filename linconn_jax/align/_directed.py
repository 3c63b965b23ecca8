"""Which axes of a leaf its units stand along, and which of them its inputs.

A spec does not say in which direction a kernel is used. The axis of the layer's bias, a
leaf with fewer axes beside it in the tree, is that of the units it makes. Where no bias
tells, it is the axis that it is in the layers of the tree whose bias does: of those with
as many axes, or else of all, if they agree (units first, as in Equinox and PyTorch, or
last). Otherwise it is the last one, as in Flax. (So a table of embeddings, which makes
units along its last axis, is taken for a kernel where kernels have their units first.)
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from linconn_jax.permutation import Axes, BoundSpec, Stacked
from linconn_jax.permutation.axis_layout import names

Along = tuple[object, ...]
"""The labels of an axis, one for each layer of a stack."""
Place = tuple[int, int]
"""A number of axes, and one of them."""


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
    stacks = {i: (0,) * isinstance(bound.axes[i], Stacked) for i in along}
    own = {}
    for i, labels in along.items():
        beside = {
            (along[j][-1], bound.shapes[j][-1])
            for j in along
            if layers[j] == layers[i] and len(along[j]) < len(labels)
        }
        both = enumerate(zip(labels, bound.shapes[i], strict=True))
        own[i] = [k for k, x in both if x in beside and k not in stacks[i]]
    sure = {_place(k[0], along[i], stacks[i]) for i, k in own.items() if len(k) == 1}
    found = {}
    for i, labels in along.items():
        last = _units(own[i], labels, stacks[i], sure)
        outputs = sorted({*stacks[i], last, *_above(bound, labels, last)})
        found[i] = Directed(layers[i], labels, stacks[i], tuple(outputs))
    return found


def _place(axis: int, along: tuple[Along, ...], stack: tuple[int, ...]) -> Place:
    """How many axes a leaf has, and which one this is: the last is -1."""
    count = len(along) - len(stack)
    return count, -1 if axis == len(along) - 1 else axis - len(stack)


def _units(
    own: Sequence[int],
    along: tuple[Along, ...],
    stack: tuple[int, ...],
    sure: Collection[Place],
) -> int:
    """The axis of a leaf's units.

    Args:
      own: the axes that are like the last one of a leaf with fewer axes beside it.
      along: the labels of each axis.
      stack: the axis of a stack of layers, or none.
      sure: where units are in leaves whose bias tells.
    """
    count = len(along) - len(stack)
    usual = {k for n, k in sure if n == count} or {k for _, k in sure}
    among = own or range(len(stack), len(along))
    if len(usual) == 1:
        axis = len(stack) + usual.pop() % count
        if axis in among:
            return axis
    return among[-1]


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
