"""The spec: which axes of which leaves move together.

A spec is a pytree with the structure of the variables whose leaves are `Axes`. `Axes` is
registered static, so a spec has no array leaves and passes through `jax.jit` as an
ordinary argument, and `jax.tree.map(f, variables, spec)` visits both side by side.
"""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from linconn_jax import trees
from linconn_jax.typing import Any, PyTree

Spec = PyTree


@dataclasses.dataclass(frozen=True)
class Block:
    """An axis that is `repeats` consecutive copies of the units of `name`.

    A feature map `[height, width, channels]` flattened before a dense layer gives an
    axis of length `height * width * channels` whose index is `position * channels +
    channel`: `Block("conv_13", repeats=height * width)`.
    """

    name: str
    repeats: int

    def __str__(self) -> str:
        return f"{self.repeats}×{self.name}"


Axis = str | Block | None


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, init=False)
class Axes:
    """The labels of one leaf's axes: a name, a `Block`, or None for an axis that stays.

    `Axes(None, None, "conv_1", "conv_2")` is the kernel of a convolution that reads the
    units of `conv_1` and writes those of `conv_2`.
    """

    labels: tuple[Axis, ...]

    def __init__(self, *labels: Any):
        for label in labels:
            if not (label is None or isinstance(label, str | Block)):
                raise ValueError(
                    f"an axis label is {label!r}; it must be a name (str), "
                    'Block("name", repeats) or None, as in Axes(None, "dense_0")'
                )
        object.__setattr__(self, "labels", labels)

    def __str__(self) -> str:
        return "(" + ", ".join(str(x) if x else "·" for x in self.labels) + ")"


def axis_name(label: Axis) -> str | None:
    """The name that a label carries, without its block structure."""
    return label.name if isinstance(label, Block) else label


def leaves(spec: Spec, tree: PyTree) -> Iterator[tuple[str, jax.Array, Axes]]:
    """Path, leaf and `Axes` of every leaf of `tree`, after checking that they fit.

    Leaves may have more axes than their `Axes` has labels: labels belong to the last
    axes, so that trees stacked along leading axes (seeds, steps) need no other spec.

    Raises:
      ValueError: the structures differ, or a leaf has fewer axes than labels.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    try:
        axes = structure.flatten_up_to(spec)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            "the spec and the tree have different structures; a spec mirrors its tree "
            f"with one Axes(...) for each leaf: {error}"
        ) from error
    for (path, leaf), one in zip(paths, axes, strict=True):
        name = trees.path_name(path)
        if not isinstance(one, Axes):
            raise ValueError(
                f"the spec holds {one!r} at {name}; it must be Axes(...) with a label "
                "for each axis of the leaf"
            )
        if np.ndim(leaf) < len(one.labels):
            raise ValueError(
                f"leaf {name} has shape {np.shape(leaf)} but its spec {one} labels "
                f"{len(one.labels)} axes; give one label for each axis"
            )
        yield name, leaf, one


def sizes(spec: Spec, tree: PyTree) -> dict[str, int]:
    """Number of units of each axis name, sorted by name.

    Args:
      spec: tree of `Axes`.
      tree: variables (or anything of their structure) that the spec describes; arrays
        or `jax.ShapeDtypeStruct`s.

    Returns:
      `{axis name: units}`.

    Raises:
      ValueError: structures differ, a block axis does not divide evenly, or two axes
        of one name have different lengths.
    """
    found: dict[str, tuple[int, str]] = {}
    for path, leaf, axes in leaves(spec, tree):
        shape = np.shape(leaf)[np.ndim(leaf) - len(axes.labels) :]
        for label, length in zip(axes.labels, shape, strict=True):
            name = axis_name(label)
            if name is None:
                continue
            repeats = label.repeats if isinstance(label, Block) else 1
            if repeats < 1 or length % repeats:
                raise ValueError(
                    f"an axis of {path} has length {length}, not a multiple of the "
                    f"{repeats} repeats of its block label {label}"
                )
            units = length // repeats
            first = found.setdefault(name, (units, path))
            if first[0] != units:
                raise ValueError(
                    f"axis name {name!r} has {first[0]} units in {first[1]} but {units} "
                    f"in {path}; axes of one name must have one length (did two layers "
                    "of different width get one label?)"
                )
    return {name: units for name, (units, _) in sorted(found.items())}
