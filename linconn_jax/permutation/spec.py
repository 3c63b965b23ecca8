"""The spec: which axes of which leaves move together.

A spec is a pytree with the structure of the variables whose leaves are `Axes` or
`Stacked`. Both are registered static, so a spec has no array leaves and passes through
`jax.jit` as an ordinary argument, and `jax.tree.map(f, variables, spec)` visits both side
by side.
"""

import dataclasses
import functools
import reprlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from linconn_jax import trees
from linconn_jax.permutation.infer_sizes import Equation, solve
from linconn_jax.permutation.labels import Axes, Stacked
from linconn_jax.permutation.nesting import check_nesting, parents_of
from linconn_jax.typing import PyTree

Spec = PyTree


@dataclasses.dataclass(frozen=True)
class Layout:
    """A spec beside the shapes of the variables it describes.

    Attributes:
      leaves: path, labels and shape (of the labelled axes) of every leaf.
      sizes: units of each name, per parent if it is nested; fixed names among them.
      parents: the parents of each permuted name, sorted by name.
    """

    leaves: tuple[tuple[str, Axes | Stacked, tuple[int, ...]], ...]
    sizes: dict[str, int]
    parents: dict[str, tuple[str, ...]]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the index array of a permuted name, `[*parents, units]`."""
        return tuple(self.sizes[x] for x in (*self.parents[name], name))


def flatten(spec: Spec, tree: PyTree) -> tuple[list[tuple[str, Any, Any]], Any]:
    """(path, leaf, axes) of every leaf, and the structure that puts leaves back.

    None in the tree is a leaf here, whatever the spec has in its place.

    Raises:
      ValueError: the structures differ, or a leaf has fewer axes than labels.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_none)
    try:
        axes = structure.flatten_up_to(spec)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            "the spec and the tree have different structures; a spec mirrors its tree "
            f"with one Axes(...) for each leaf: {_difference(spec, tree) or error}"
        ) from error
    if not paths and _labelled(spec):
        raise ValueError(
            "a spec is given for a tree; give the variables (or their shapes) instead"
        )
    found = []
    for (path, leaf), one in zip(paths, axes, strict=True):
        name = trees.path_name(path)
        _check_leaf(name, leaf, one)
        found.append((name, leaf, Axes() if leaf is None else one))
    return found, structure


def leaves(spec: Spec, tree: PyTree) -> Iterator[tuple[str, Any, Axes | Stacked]]:
    """Path, leaf and `Axes` (or `Stacked`) of every leaf, after checking that they fit.

    Leaves may have more axes than their `Axes` has labels: labels belong to the last
    axes, so that trees stacked along leading axes (seeds, steps) need no other spec.

    Raises:
      ValueError: the structures differ, or a leaf has fewer axes than labels.
    """
    return (entry for entry in flatten(spec, tree)[0] if entry[1] is not None)


def layout(spec: Spec, tree: PyTree) -> Layout:
    """The spec's names with their sizes and parents, checked against all shapes.

    Raises:
      ValueError: as `sizes`.
    """
    return layout_of(flatten(spec, tree)[0])


def layout_of(entries: list[tuple[str, Any, Axes | Stacked]]) -> Layout:
    """`layout` of what `flatten` found."""
    return _layout(
        tuple(
            (
                path,
                axes,
                np.shape(leaf)[np.ndim(leaf) - axes.ndim :] if axes.ndim else (),
            )
            for path, leaf, axes in entries
        )
    )


def sizes(spec: Spec, tree: PyTree) -> dict[str, int]:
    """Number of units of each axis name, sorted by name.

    Solved from the shapes: axes that are one name tell its size, then products and sums
    with one unknown name left, until nothing changes. Sizes given in labels are used.

    Args:
      spec: tree of `Axes` and `Stacked`.
      tree: variables (or anything of their structure) that the spec describes; arrays
        or `jax.ShapeDtypeStruct`s.

    Returns:
      `{axis name: units}`; of a nested name the units for each index of its parents.

    Raises:
      ValueError: structures differ, two axes of one name disagree, a length does not fit
        its label, a size cannot be told, or a nested name and its parents do not fit.
    """
    found = layout(spec, tree)
    return {name: found.sizes[name] for name in found.parents}


def parents(spec: Spec) -> dict[str, tuple[str, ...]]:
    """Parents of each permuted axis name, outermost first, sorted by name.

    Raises:
      ValueError: labels of one name contradict each other, or a leaf of the spec is
        neither `Axes` nor `Stacked`.
    """
    entries = _labelled(spec)
    for path, axes in entries:
        _check_axes(path, axes)
    return parents_of(tuple(entries))


@functools.lru_cache(maxsize=256)
def _layout(entries: tuple[tuple[str, Axes | Stacked, tuple[int, ...]], ...]) -> Layout:
    nesting = parents_of(tuple((path, axes) for path, axes, _ in entries))
    equations = sorted(
        (
            Equation(label, n, path, axis)
            for path, axes, shape in entries
            for layer, rest, first in layers(path, axes, shape)
            for axis, (label, n) in enumerate(
                zip(layer.labels, rest, strict=True), first
            )
            if label is not None
        ),
        key=lambda equation: not equation.whole,
    )
    solved = solve(equations)
    for path, axes, shape in entries:
        for layer, rest, _ in layers(path, axes, shape):
            check_nesting(path, layer, rest, solved, nesting)
    return Layout(entries, dict(sorted(solved.items())), nesting)


def layers(
    path: str, axes: Axes | Stacked, shape: tuple[int, ...]
) -> Iterator[tuple[Axes, tuple[int, ...], int]]:
    """The `Axes` of each slice of a leaf, their shape, and the first labelled axis."""
    if isinstance(axes, Axes):
        yield axes, shape, 0
        return
    if shape[0] != len(axes.axes):
        raise ValueError(
            f"{path} is a stack of {shape[0]} layers but its spec {axes} has "
            f"{len(axes.axes)}; give Stacked one Axes(...) for each layer"
        )
    for layer in axes.axes:
        yield layer, shape[1:], 1


def _labelled(spec: Spec) -> list[tuple[str, Any]]:
    """Path and `Axes` (or `Stacked`) of every leaf of a spec."""
    found = jax.tree_util.tree_leaves_with_path(
        spec, is_leaf=lambda x: isinstance(x, Axes | Stacked)
    )
    return [(trees.path_name(path), axes) for path, axes in found]


def _difference(spec: Spec, tree: PyTree) -> str:
    """Leaves that only one of two has; empty if they differ in their containers."""
    of_tree = jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_none)
    ours = {path for path, _ in _labelled(spec)}
    theirs = {trees.path_name(path) for path, _ in of_tree}
    sides = (("spec", sorted(ours - theirs)), ("tree", sorted(theirs - ours)))
    return "; ".join(
        f"only the {side} has {reprlib.repr(only)}" for side, only in sides if only
    )


def _check_leaf(name: str, leaf: Any, axes: Any) -> None:
    if leaf is None:
        return
    _check_axes(name, axes)
    if isinstance(leaf, np.ma.MaskedArray):
        raise ValueError(
            f"leaf {name} is a NumPy masked array, whose mask would be lost; give "
            "leaf.filled(value), and np.ma.getmaskarray(leaf) as a leaf of its own if "
            "the mask matters"
        )
    if np.ndim(leaf) < axes.ndim:
        raise ValueError(
            f"leaf {name} has shape {np.shape(leaf)} but its spec {axes} labels "
            f"{axes.ndim} axes; give one label for each axis"
        )


def _check_axes(name: str, axes: Any) -> None:
    if not isinstance(axes, Axes | Stacked):
        raise ValueError(
            f"the spec holds {reprlib.repr(axes)} at {name or 'its root'}; it must be "
            "Axes(...) with a label for each axis of the leaf"
        )


def _is_none(x: Any) -> bool:
    return x is None
