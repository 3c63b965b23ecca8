"""A narrow network written as a wider one of the same family that computes the same.

New units have zeros for weights, in and out, so nothing that they hold is read. One kind
of layer does look at how many units there are: a layer-norm divides by a deviation over
all of them. It ignores a shift common to all units, so the layers that feed it can be
centred (their mean over the output units subtracted, from kernels and biases), and then:

    n units x with mean 0            variance  Σ x² / n
    N units √(N/n) · (x, 0, …, 0)    variance  (N/n) · Σ x² / N, the same

The variance, and so epsilon's part in it, is as before; outputs are √(N/n) too large,
which the norm's scale takes back.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.labels import Axes, Label, Stacked, Units
from linconn_jax.permutation.places import leaf_terms, length
from linconn_jax.permutation.spec import Spec, flatten, layout_of
from linconn_jax.typing import Array, Int, PyTree


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

    scales: tuple[str, ...]
    writers: tuple[str, ...]
    centred: bool = True


def widen(
    spec: Spec,
    variables: PyTree,
    sizes: Mapping[str, int],
    *,
    layer_norms: Sequence[LayerNorm] = (),
    ones: Sequence[str] = ("var", "running_var"),
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

    Raises:
      ValueError: an unknown name, fewer units than there are, layers of a stack that
        would differ in shape, or layer-norms whose leaves do not fit the spec.
    """
    entries, structure = flatten(spec, variables)
    old = layout_of(entries)
    _check_sizes(sizes, {name: old.sizes[name] for name in old.parents})
    new = {**old.sizes, **{name: int(n) for name, n in sizes.items()}}
    if new == old.sizes:
        return variables
    axes = {path: one for path, _, one in entries}
    _check_once(layer_norms)

    def grown(arrays: dict[str, Array]) -> dict[str, Array]:
        for norm in layer_norms:
            arrays = arrays | _rescaled(norm, arrays, axes, old.sizes, new)
        return {
            path: _padded(
                path, array, axes[path], old.sizes, new, path.split("/")[-1] in ones
            )
            for path, array in arrays.items()
        }

    leaves = {path: leaf for path, leaf, _ in entries}
    arrays = {k: v for k, v in leaves.items() if isinstance(v, jax.Array | np.ndarray)}
    on_host = all(isinstance(array, np.ndarray) for array in arrays.values())
    leaves |= (
        grown(arrays) if on_host else jax.jit(grown)(arrays)
    )  # one program for all
    return jax.tree.unflatten(structure, leaves.values())


def _rescaled(
    norm: LayerNorm,
    leaves: Mapping[str, Array],
    axes: Mapping[str, Axes | Stacked],
    old: Mapping[str, int],
    new: Mapping[str, int],
) -> dict[str, Array]:
    """The leaves of a norm and of its writers, such that padding changes nothing."""
    for path in (*norm.scales, *norm.writers):
        if path not in leaves:
            raise ValueError(
                f"{norm} names {path!r}, which is no array leaf; there "
                f"are {sorted(leaves)}"
            )
    names = {_only_units(path, axes[path]) for path in norm.scales}
    if len(names) != 1:
        raise ValueError(
            f"the scales of {norm} belong to the units of {sorted(names)}; they must "
            "belong to one axis name"
        )
    (name,) = names
    ratio = math.sqrt(new[name] / old[name])
    found = {
        path: leaves[path] * _like(1 / ratio, leaves[path]) for path in norm.scales
    }
    for path in norm.writers:
        leaf, axis = leaves[path], _written(path, axes[path], name)
        if norm.centred:
            leaf = leaf - leaf.mean(axis=axis, keepdims=True)
        found[path] = leaf * _like(ratio, leaf)
    return found


def _like(number: float, leaf: Array) -> Array:
    return np.asarray(number, leaf.dtype)


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


def _padded(
    path: str,
    leaf: Array,
    axes: Axes | Stacked,
    old: Mapping[str, int],
    new: Mapping[str, int],
    fill: bool,
) -> Array:
    if isinstance(axes, Axes):
        return _padded_slice(leaf, axes, old, new, fill)
    xp = np if isinstance(leaf, np.ndarray) else jnp
    stack = leaf.ndim - axes.ndim
    slices = [
        _padded_slice(xp.take(leaf, i, axis=stack), one, old, new, fill)
        for i, one in enumerate(axes.axes)
    ]
    if len({x.shape for x in slices}) != 1:
        raise ValueError(
            f"{path} is a stack of layers {axes}, which would have the shapes "
            f"{[x.shape for x in slices]}; give them the same sizes"
        )
    return xp.stack(slices, axis=stack)


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
    (before,) = leaf_terms(Axes(label), (n,), old)
    (after,) = leaf_terms(Axes(label), (total,), new)
    where = np.zeros(n, int)
    for term, wider in zip(before, after, strict=True):
        strides = np.array([factor.stride for factor in wider.factors], int)
        where[term.places] = wider.offset + strides @ term.coordinates
    return where, total


def _check_sizes(sizes: Mapping[str, int], old: Mapping[str, int]) -> None:
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


def _check_once(layer_norms: Sequence[LayerNorm]) -> None:
    paths = [path for norm in layer_norms for path in (*norm.scales, *norm.writers)]
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise ValueError(
            f"layer_norms names {twice} more than once; norms that read the same stream "
            "are one LayerNorm with several scales"
        )
