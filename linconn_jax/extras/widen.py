"""A narrow network written as a wider one of the same family that computes the same.

New units have zeros for weights, in and out, so nothing that they hold is read. Layers
that look at how many units there are need care: see `layer_norms`.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.extras.layer_norms import (
    LayerNorm,
    Rescale,
    as_names,
    check_once,
    rescales,
)
from linconn_jax.permutation.axis_layout import axis_terms, length, names_of
from linconn_jax.permutation.labels import Axes, Label, Stacked
from linconn_jax.permutation.spec import BoundSpec, Spec, bind_leaves
from linconn_jax.typing import Array, Int, PyTree

__all__ = ["LayerNorm", "widen"]


def widen(
    spec: Spec | BoundSpec,
    variables: PyTree,
    sizes: Mapping[str, int],
    *,
    layer_norms: Sequence[LayerNorm] = (),
    ones: str | Sequence[str] = ("var", "running_var"),
) -> PyTree:
    """Variables of a wider network that computes what the narrow one does.

    Every labelled axis is padded with zeros after its units: inside a `Block` after
    those of each place, inside a `Concat` after those of each part, of a nested name
    after those of each parent.

    The wider network must do the same with its units one by one. What it derives from
    their number is not in the variables: besides the norms, attention's 1/√d, a mean or
    a softmax over units. Compare the outputs of the two.

    Args:
      spec: of the narrow network.
      variables: of the narrow network; leaves may have leading axes (seeds).
      sizes: `{axis name: new units}`, per parent for nested names; a name that is left
        out keeps its units.
      layer_norms: all norms over units of a name that grows.
      ones: last names of leaves that are padded with 1 because they divide: the running
        variance of a batch-norm.

    Returns:
      A tree of the same structure and dtypes; `variables` itself if no name grows.
      Leaves lie where they lay, NumPy arrays on the host; those that nothing changes are
      the ones given.

    Raises:
      ValueError: an unknown name, fewer units than there are, a leaf that should grow
        and is no array, layers of a stack that would differ in shape, or layer-norms
        whose leaves do not fit the spec.
    """
    old, given = bind_leaves(spec, variables)
    _check_sizes(sizes, {name: old.sizes[name] for name in old.parents})
    new = {**old.sizes, **{name: int(n) for name, n in sizes.items()}}
    if new == old.sizes:
        return variables
    check_once(layer_norms)
    leaves = dict(zip(old.paths, given, strict=True))
    labels = dict(zip(old.paths, old.axes, strict=True))
    arrays = [k for k, x in leaves.items() if isinstance(x, jax.Array | np.ndarray)]
    rescaled: dict[str, Rescale] = {}
    for norm in layer_norms:
        rescaled |= rescales(norm, arrays, labels, old.sizes, new)
    plan = _Plan(
        tuple(labels.items()),
        tuple((name, n, new[name]) for name, n in old.sizes.items()),
        tuple(rescaled.items()),
        as_names(ones),
    )
    homes: dict[Any, dict[str, Array]] = {}
    for path, leaf in leaves.items():
        if plan.changes(path):
            homes.setdefault(_home(path, leaf), {})[path] = leaf
    for home, some in homes.items():
        leaves |= plan.grown(some) if home == "host" else _grown_in_jax(some, plan)
    return old.tree(list(leaves.values()))


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How every leaf grows; hashable, so that networks alike share a compiled program.

    Attributes:
      labels: path and labels of every leaf.
      sizes: name, old size and new size of every name.
      rescales: path and rescaling of the leaves of norms and of their writers.
      ones: last names of the leaves that are padded with 1.
    """

    labels: tuple[tuple[str, Axes | Stacked], ...]
    sizes: tuple[tuple[str, int, int], ...]
    rescales: tuple[tuple[str, Rescale], ...]
    ones: tuple[str, ...]

    @functools.cached_property
    def axes(self) -> dict[str, Axes | Stacked]:
        return dict(self.labels)

    @functools.cached_property
    def old(self) -> dict[str, int]:
        return {name: n for name, n, _ in self.sizes}

    @functools.cached_property
    def new(self) -> dict[str, int]:
        return {name: n for name, _, n in self.sizes}

    @functools.cached_property
    def rescaled(self) -> dict[str, Rescale]:
        return dict(self.rescales)

    def changes(self, path: str) -> bool:
        """Whether a leaf is not left as it is."""
        return path in self.rescaled or self._grows(path)

    def grown(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """These leaves, rescaled and padded."""
        arrays = {
            path: self.rescaled[path](array) if path in self.rescaled else array
            for path, array in arrays.items()
        }
        return {path: self._padded(path, array) for path, array in arrays.items()}

    def _grows(self, path: str) -> bool:
        inside = names_of(self.axes[path])
        return any(self.new[name] != self.old[name] for name in inside)

    def _padded(self, path: str, leaf: Array) -> Array:
        if not self._grows(path):
            return leaf
        axes, fill = self.axes[path], path.split("/")[-1] in self.ones
        if isinstance(axes, Axes):
            return _padded_slice(leaf, axes, self.old, self.new, fill)
        xp = np if isinstance(leaf, np.ndarray) else jnp
        stack = leaf.ndim - axes.ndim
        slices = [
            _padded_slice(xp.take(leaf, i, axis=stack), one, self.old, self.new, fill)
            for i, one in enumerate(axes.axes)
        ]
        if len({x.shape for x in slices}) != 1:
            raise ValueError(
                f"{path} is a stack of layers {axes}, which would have the shapes "
                f"{[x.shape for x in slices]}; give them the same sizes"
            )
        return xp.stack(slices, axis=stack)


def _home(path: str, leaf: Any) -> Any:
    """Leaves of one home grow together: on the host, or where they lie on devices."""
    if isinstance(leaf, np.ndarray):
        return "host"
    if not isinstance(leaf, jax.Array):
        raise ValueError(
            f"leaf {path} is a {type(leaf).__name__}; it must be an array to be "
            "widened (of shapes: jax.eval_shape(lambda v: widen(spec, v, sizes), "
            "shapes))"
        )
    return "traced" if isinstance(leaf, jax.core.Tracer) else leaf.sharding


@functools.partial(jax.jit, static_argnums=1)
def _grown_in_jax(arrays: dict[str, Array], plan: _Plan) -> dict[str, Array]:
    return plan.grown(arrays)


def _padded_slice(
    leaf: Array, axes: Axes, old: Mapping[str, int], new: Mapping[str, int], fill: bool
) -> Array:
    lead = leaf.ndim - axes.ndim
    places, lengths = [], []
    for label, n in zip(axes.labels, leaf.shape[lead:], strict=True):
        where, total = _new_places(label, n, old, new)
        places.append(where)
        lengths.append(total)
    index = (..., *np.ix_(*places))
    shape = (*leaf.shape[:lead], *lengths)
    if isinstance(leaf, np.ndarray):
        padded = np.full(shape, fill, leaf.dtype)
        padded[index] = leaf
        return padded
    return jnp.full(shape, fill, leaf.dtype).at[index].set(leaf)


def _new_places(
    label: Label, n: int, old: Mapping[str, int], new: Mapping[str, int]
) -> tuple[Int[np.ndarray, " n"], int]:
    """Where on the padded axis each place of the old one goes, and the new length."""
    total = n if label is None else length(label, new)
    before, after = axis_terms(label, n, old), axis_terms(label, total, new)
    where = np.zeros(n, int)
    for term, wider in zip(before, after, strict=True):
        coordinates = np.indices(term.shape, sparse=True)
        where[term.places] = wider.at(coordinates).reshape(-1)
    return where, total


def _check_sizes(sizes: Mapping[str, int], old: Mapping[str, int]) -> None:
    if not isinstance(sizes, Mapping):
        raise ValueError(
            f"sizes is {sizes!r}; it must be a dict {{axis name: units}}, of {old} here"
        )
    if unknown := sorted(sizes.keys() - old.keys()):
        raise ValueError(
            f"sizes has the axis names {unknown}; the spec has {list(old)}"
        )
    for name, n in sizes.items():
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < old[name]:
            raise ValueError(
                f"sizes has {n!r} units for {name!r}, which has {old[name]}; it must be "
                "an integer of at least that: units cannot be taken away"
            )
