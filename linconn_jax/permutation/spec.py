"""The spec: which axes of which leaves move together, and a spec bound to shapes.

A spec is a pytree with the structure of the variables whose leaves are `Axes` or
`Stacked`. Both are registered static, so a spec has no array leaves and passes through
`jax.jit` as an ordinary argument, and `jax.tree.map(f, variables, spec)` visits both side
by side. So does a `BoundSpec`, which `bind` makes of a spec and a tree.
"""

import dataclasses
import functools
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from linconn_jax import trees
from linconn_jax.permutation.axis_layout import Piece
from linconn_jax.permutation.element import Permutation, check_belongs
from linconn_jax.permutation.infer_sizes import infer, infer_parents
from linconn_jax.permutation.labels import Axes, Stacked
from linconn_jax.typing import PyTree

Spec: TypeAlias = PyTree
_REBIND = "bind the spec to this tree, permutation.bind(spec, tree)"


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class BoundSpec:
    """A spec with the shapes of the variables it describes; made by `bind`.

    Hashable and static under `jit`. Whatever takes a spec takes this in its place.

    Attributes:
      paths: path of every leaf, in the order of `jax.tree.leaves`.
      axes: its labels.
      shapes: lengths of its labelled axes; None if the leaf was missing.
      structure: of the tree.
      absent: axis names that only missing leaves carry.
      sizes: units of each name (for each index of its parents), `Fixed` names included.
      parents: the names under which each permuted name lies, outermost first.
      pieces: the parts of the leaves that consist of one product of names each.
    """

    paths: tuple[str, ...]
    axes: tuple[Axes | Stacked, ...]
    shapes: tuple[tuple[int, ...] | None, ...]
    structure: jax.tree_util.PyTreeDef
    absent: frozenset[str]
    sizes: Mapping[str, int] = dataclasses.field(compare=False)
    parents: Mapping[str, tuple[str, ...]] = dataclasses.field(compare=False)
    pieces: tuple[Piece, ...] = dataclasses.field(compare=False, repr=False)

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        # A structure may hold what cannot be hashed, and is left to `==`.
        return hash((self.paths, self.axes, self.shapes))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the index array of a permuted name, `[*parents, units]`."""
        return tuple(self.sizes[x] for x in (*self.parents[name], name))

    def leaves(self, tree: PyTree) -> list[Any]:
        """The leaves of a tree in the order of `paths`, after checking that they fit.

        Leaves may have more axes in front (seeds, steps) and may be missing (None).

        Raises:
          ValueError: the structure or a shape differs from what the spec is bound to.
        """
        found, structure = jax.tree.flatten(tree, is_leaf=_is_none)
        if structure != self.structure:
            raise ValueError(
                "the tree has another structure than the one that the spec is bound to: "
                f"{_difference(self.paths, tree) or structure}; {_REBIND}"
            )
        entries = zip(self.paths, found, self.axes, self.shapes, strict=True)
        for path, leaf, axes, bound in entries:
            if leaf is not None and _labelled_shape(path, leaf, axes) != bound:
                there = "is missing" if bound is None else f"has {bound}"
                raise ValueError(
                    f"leaf {path} has shape {np.shape(leaf)} but {there} in the tree "
                    f"that the spec is bound to; {_REBIND}"
                )
        return found

    def tree(self, leaves: list[Any]) -> PyTree:
        """The tree of these leaves, given in the order of `paths`."""
        return jax.tree.unflatten(self.structure, leaves)

    def check(self, permutation: Permutation) -> None:
        """Refuses a permutation of another spec with a ValueError."""
        shapes = {name: self.shape(name) for name in self.parents}
        check_belongs(permutation, shapes, self.parents, self.absent)

    def identity(self) -> Permutation:
        """The permutation that moves nothing, with index arrays on the host (NumPy)."""
        shapes = {name: self.shape(name) for name in self.parents}
        indices = {x: np.tile(np.arange(n), (*m, 1)) for x, (*m, n) in shapes.items()}
        return Permutation.of(indices, self.parents)


def bind(spec: Spec | BoundSpec, tree: PyTree) -> BoundSpec:
    """The spec bound to the shapes of a tree: sizes are inferred, everything is checked.

    Args:
      spec: tree of `Axes` and `Stacked`; a `BoundSpec` is checked and returned as it is.
      tree: of the variables' structure, arrays or `jax.ShapeDtypeStruct`s. Leaves may
        have more axes in front, and may be missing (None). Beside a `BoundSpec` the tree
        may be left out (None).

    Raises:
      ValueError: structures differ, a leaf has fewer axes than labels, two axes of one
        name disagree, a length does not fit its label, a size cannot be told, or a
        nested name and its parents do not fit.
    """
    if tree is not None:
        return bind_leaves(spec, tree)[0]
    if not isinstance(spec, BoundSpec):
        raise ValueError(
            "no tree is given beside the spec; give the variables or their shapes "
            "(jax.eval_shape), or a spec that is bound: permutation.bind(spec, variables)"
        )
    return spec


def bind_leaves(spec: Spec | BoundSpec, tree: PyTree) -> tuple[BoundSpec, list[Any]]:
    """`bind`, and the leaves of the tree in the order of `paths`."""
    if isinstance(spec, BoundSpec):
        return spec, spec.leaves(tree)
    flat, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_none)
    try:
        axes = structure.flatten_up_to(spec)
    except (ValueError, TypeError, KeyError) as error:
        labelled = [path for path, _ in _labelled(spec)]
        raise ValueError(
            "the spec and the tree have different structures; a spec mirrors its tree "
            f"with one Axes(...) for each leaf: {_difference(labelled, tree) or error}"
        ) from error
    if not flat and _labelled(spec):
        raise ValueError(
            "a spec is given for a tree; give the variables (or their shapes) instead"
        )
    paths = tuple(trees.path_name(path) for path, _ in flat)
    leaves = [leaf for _, leaf in flat]
    shapes = tuple(map(_labelled_shape, paths, leaves, axes))
    labels = tuple(
        Axes() if shape is None else x for x, shape in zip(axes, shapes, strict=True)
    )
    found = infer(paths, labels, shapes)
    absent = frozenset(parents(spec) if None in shapes else ()).difference(found[1])
    return BoundSpec(paths, labels, shapes, structure, absent, *found), leaves


def sizes(spec: Spec | BoundSpec, tree: PyTree = None) -> dict[str, int]:
    """Number of units of each axis name (for each index of its parents), sorted by name.

    The tree is that of `bind`. Sizes are written in labels or inferred from its shapes.
    """
    bound = bind(spec, tree)
    return {name: bound.sizes[name] for name in bound.parents}


def parents(spec: Spec | BoundSpec) -> dict[str, tuple[str, ...]]:
    """Parents of each permuted axis name, outermost first, sorted by name.

    Raises:
      ValueError: labels of one name contradict each other, or a leaf of the spec is
        neither `Axes` nor `Stacked`.
    """
    if isinstance(spec, BoundSpec):
        return dict(spec.parents)
    return infer_parents([(x, _axes(x, axes)) for x, axes in _labelled(spec)])


def _labelled(spec: Spec) -> list[tuple[str, Any]]:
    """Path and `Axes` (or `Stacked`) of every leaf of a spec."""
    found = jax.tree_util.tree_leaves_with_path(
        spec, is_leaf=lambda x: isinstance(x, Axes | Stacked)
    )
    return [(trees.path_name(path), axes) for path, axes in found]


def _difference(ours: Iterable[str], tree: PyTree) -> str:
    """Leaves that only one of two has; empty if they differ in their containers."""
    of_tree = jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_none)
    theirs = {trees.path_name(path) for path, _ in of_tree}
    only = {"spec": {*ours} - theirs, "tree": theirs - {*ours}}
    found = (
        (side, reprlib.repr(sorted(paths))) for side, paths in only.items() if paths
    )
    return "; ".join(f"only the {side} has {paths}" for side, paths in found)


def _labelled_shape(path: str, leaf: Any, axes: Any) -> tuple[int, ...] | None:
    """Lengths of the labelled axes of a leaf, the last ones; None if it is missing."""
    if leaf is None:
        return None
    _axes(path, axes)
    if isinstance(leaf, np.ma.MaskedArray):
        raise ValueError(
            f"leaf {path} is a NumPy masked array, whose mask would be lost; give "
            "leaf.filled(value), and np.ma.getmaskarray(leaf) as a leaf of its own if "
            "the mask matters"
        )
    shape = np.shape(leaf)
    if len(shape) < axes.ndim:
        raise ValueError(
            f"leaf {path} has shape {shape} but its spec {axes} labels {axes.ndim} axes; "
            "give one label for each axis"
        )
    return shape[len(shape) - axes.ndim :]


def _axes(path: str, axes: Any) -> Axes | Stacked:
    if isinstance(axes, Axes | Stacked):
        return axes
    raise ValueError(
        f"the spec holds {reprlib.repr(axes)} at {path or 'its root'}; it must be "
        "Axes(...) with a label for each axis of the leaf"
    )


def _is_none(x: Any) -> bool:
    return x is None
