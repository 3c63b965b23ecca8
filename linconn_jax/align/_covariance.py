"""Kernels times the roots of the second moments of their inputs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from linconn_jax.align._alike import alike
from linconn_jax.align._directed import Directed, directed
from linconn_jax.align._fitted import trained
from linconn_jax.permutation import BoundSpec, Piece
from linconn_jax.typing import Array, Float, Variables

Root = Float[np.ndarray, "points points"]


def roots(
    bound: BoundSpec,
    network: Variables,
    inputs: Array,
    read: Callable[[Variables, Array], dict[str, Array]],
    batch_size: int,
) -> dict[str, Root]:
    """Of the second moment of each name's activations, under all its parents.

    Raises:
      ValueError: as `activation_matching`.
    """
    twice = network, network
    found = alike(bound, twice, inputs, read, "raw", batch_size)[0, 1]
    return {name: _root(moment) for name, moment in found.items()}


def weighted(
    bound: BoundSpec, network: Variables, inputs: Array, of_names: Mapping[str, Root]
) -> Variables:
    """The network, its kernels times the roots, on the host."""
    leaves: list[Any] = bound.leaves(network)
    for i, leaf in directed(bound, trained(bound, network)).items():
        x = np.array(leaves[i], np.promote_types(leaves[i].dtype, np.float32))
        root = _of_inputs(leaf, bound, i, inputs)
        if root is not None:
            axis, root = root
            x = _times(x, (axis,), root).astype(x.dtype)
        for piece in bound.pieces:
            if piece.leaf == i:
                _weigh(x, piece, leaf, bound, of_names)
        leaves[i] = x
    return bound.tree(leaves)


def _weigh(
    x: np.ndarray,
    piece: Piece,
    leaf: Directed,
    bound: BoundSpec,
    of_names: Mapping[str, Root],
) -> None:
    """Multiplies a piece of a leaf, in its place."""
    offset = piece.layer is not None
    part = x[piece.layer] if offset else x
    axis_of = [k + offset for k, term in enumerate(piece.terms) for _ in term.factors]
    inner = [k for k, axis in enumerate(axis_of) if axis not in leaf.outputs]
    place = np.ix_(*(term.places for term in piece.terms))
    array = part[place].reshape([n for term in piece.terms for n in term.shape])
    for k in inner:
        name = str(piece.names[k])
        above = [piece.names.index(x) for x in bound.parents.get(name, ())]
        if name in of_names and {*above} <= {*inner}:
            array = _times(array, (*above, k), of_names[name])
    part[place] = array.reshape(part[place].shape)


def _times(array: np.ndarray, axes: tuple[int, ...], root: Root) -> np.ndarray:
    """The array times a symmetric matrix along some of its axes together."""
    last = tuple(range(-len(axes), 0))
    moved = np.moveaxis(array, axes, last)
    product = moved.reshape(-1, len(root)) @ root
    return np.moveaxis(product.reshape(moved.shape), last, axes)


def _of_inputs(
    leaf: Directed, bound: BoundSpec, number: int, inputs: Array
) -> tuple[int, Root] | None:
    """The axis of a leaf along which the data's own features are, and their root."""
    shape = bound.shapes[number] or ()
    rest = [k for k in range(len(shape)) if k not in leaf.outputs]
    if not rest or any(label is not None for k in rest for label in leaf.along[k]):
        return None
    flat = len(rest) == 1 and shape[rest[0]] == math.prod(inputs.shape[1:])
    axis = rest[0] if flat else _channels(leaf, shape, rest, inputs)
    if axis is None:
        return None
    x = np.asarray(inputs, np.float64)
    if np.issubdtype(inputs.dtype, np.integer):
        others = tuple(range(x.ndim - 1)) if x.ndim > 2 else None
        spread = x.std(axis=others, keepdims=True)
        x = (x - x.mean(axis=others, keepdims=True)) / np.where(spread > 0, spread, 1)
    rows = x.reshape(len(x) if flat else -1, shape[axis])
    return axis, _root(rows.T @ rows / len(rows))


def _channels(
    leaf: Directed, shape: tuple[int, ...], rest: Sequence[int], inputs: Array
) -> int | None:
    """The axis of a kernel that is along the channels of inputs, if one alone can be.

    Of several that are as long (3 × 3 × 3) it is the one beside the units' axis, as in
    (height, width, in, out) and in (out, in, height, width).
    """
    if not len(shape) == inputs.ndim > 2:
        return None
    some = [k for k in rest if shape[k] == inputs.shape[-1]]
    near = [k for k in some if {k - 1, k + 1} & {*leaf.outputs}]
    return next((x[0] for x in (some, near) if len(x) == 1), None)


def _root(moment: Root) -> Root:
    """The symmetric root; what rounding made negative is 0."""
    values, vectors = np.linalg.eigh((moment + moment.T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
