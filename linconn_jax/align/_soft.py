"""Matrices in the place of permutations: a soft action on networks, and its derivative.

A name's matrices are `[*parents, new unit, old unit]`, where a permutation's index array
is `[*parents, new unit]`; at 0-1 matrices with one 1 in each row and column the action is
`permute`.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation import BoundSpec, Piece
from linconn_jax.typing import Array, Float, Int, PyTree

Matrices = Mapping[str, Float[Array, "..."]]


def soft_permute(bound: BoundSpec, matrices: Matrices, tree: PyTree) -> PyTree:
    """`permute` with matrices: each labelled axis is multiplied by that of its name.

    Args:
      bound: spec bound to the tree.
      matrices: `{axis name: [*parents, units, units]}`; names that it lacks stay.
      tree: arrays without leading axes (use `jax.vmap` for a stack); leaves without a
        fraction (counters, flags) stay as they are.
    """
    leaves = bound.leaves(tree)
    for piece in bound.pieces:
        factors = _carrying(piece, matrices)
        if not factors or not moves(leaves[piece.leaf]):
            continue
        # A unit's insides are moved as those of the place to which it has come.
        factors.sort(key=lambda i: len(bound.parents[piece.names[i]]))
        part = unfolded(piece, leaves[piece.leaf])
        for i in factors:
            part = _multiplied(bound, piece, i, matrices[piece.names[i]], part)
        leaves[piece.leaf] = _put_back(piece, leaves[piece.leaf], part)
    return bound.tree(leaves)


def differential(bound: BoundSpec, matrices: Matrices, tree: PyTree) -> PyTree:
    """Derivative of `soft_permute` at the identity, in the direction of the matrices.

    The sum, over all labelled axes, of the tree with that axis alone multiplied. It is
    linear in the matrices, and its transpose takes a gradient with respect to the tree
    to inner products of units: one matrix product for each axis.
    """
    leaves = bound.leaves(tree)
    changes = [jnp.zeros_like(x) if moves(x) else x for x in leaves]
    for piece in bound.pieces:
        factors = _carrying(piece, matrices)
        if not factors or not moves(leaves[piece.leaf]):
            continue
        part = unfolded(piece, leaves[piece.leaf])
        each = [
            _multiplied(bound, piece, i, matrices[piece.names[i]], part)
            for i in factors
        ]
        changes[piece.leaf] = _put_back(piece, changes[piece.leaf], sum(each))
    return bound.tree(changes)


def straight_through(
    bound: BoundSpec,
    gradient: PyTree,
    moved: PyTree,
    indices: Mapping[str, Int[Array, "..."]],
) -> dict[str, Float[Array, "..."]]:
    """Gradient of a loss with respect to the permutation matrices of one network.

    Where a name lies under others, or has others under it, its units are taken with
    their insides as they lie now, and their places as well.

    Args:
      bound: spec bound to the network.
      gradient: of the loss, with respect to the permuted network.
      moved: the permuted network.
      indices: index arrays by which it was permuted.
    """
    nothing = {
        name: jnp.zeros((*p.shape, p.shape[-1]), jnp.float32)
        for name, p in indices.items()
    }
    _, pull = jax.vjp(lambda x: differential(bound, x, moved), nothing)
    (found,) = pull(gradient)  # [.., i, i']: the unit that is now at i', put at i
    return {
        name: jnp.take_along_axis(x, jnp.argsort(indices[name])[..., None, :], axis=-1)
        for name, x in found.items()
    }


def sinkhorn(
    scores: Float[Array, "*stack units units"], iterations: int
) -> Float[Array, "*stack units units"]:
    """`exp(scores)` with rows and columns scaled to sum to 1.

    Rows first and columns last (Sinkhorn 1964; Mena et al. 2018): these are exact. The
    first iteration is in the log domain; each row then has an entry of 1/units² at least,
    so that the others, which only multiply rows and columns, need no logarithms.

    Args:
      scores: of any size, as long as they are finite.
      iterations: one at least, of rows and columns each.
    """
    log = jax.nn.log_softmax(jax.nn.log_softmax(scores, axis=-1), axis=-2)
    first = jnp.exp(log)

    def scaled(columns: Array, _: None) -> tuple[Array, Array]:
        rows = 1 / jnp.einsum("...ij,...j->...i", first, columns)
        return 1 / jnp.einsum("...ij,...i->...j", first, rows), rows

    columns = jnp.ones_like(first[..., 0, :])
    rows = jnp.ones_like(columns)
    if iterations > 1:
        columns, each = jax.lax.scan(scaled, columns, length=iterations - 1)
        rows = each[-1]
    return rows[..., :, None] * first * columns[..., None, :]


def moves(leaf: Array | None) -> bool:
    """Whether matrices can act on a leaf: it holds numbers with a fraction."""
    return leaf is not None and bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def unfolded(piece: Piece, leaf: Array) -> Float[Array, "..."]:
    """A piece of a leaf in float32, with an axis for each factor."""
    part = leaf if piece.layer is None else leaf[piece.layer]
    for axis, term in enumerate(piece.terms):
        places = term.places
        if not np.array_equal(places, np.arange(part.shape[axis])):
            part = jnp.take(part, places, axis=axis)
    shape = [n for term in piece.terms for n in term.shape]
    return part.astype(jnp.float32).reshape(shape)


def _put_back(piece: Piece, leaf: Array, part: Float[Array, "..."]) -> Array:
    """The leaf with other numbers in the place of a piece."""
    places = [term.places for term in piece.terms]
    part = part.astype(leaf.dtype).reshape([len(x) for x in places])
    whole = piece.layer is None and part.size == leaf.size
    if whole and all(np.array_equal(x, np.arange(len(x))) for x in places):
        return part
    grid = np.ix_(*places)
    return (
        jnp.asarray(leaf)
        .at[grid if piece.layer is None else (piece.layer, *grid)]
        .set(part)
    )


def _carrying(piece: Piece, matrices: Matrices) -> list[int]:
    """Numbers of the factors of a piece that some matrices move."""
    return [i for i, name in enumerate(piece.names) if name in matrices]


def _multiplied(
    bound: BoundSpec,
    piece: Piece,
    factor: int,
    matrix: Float[Array, "..."],
    part: Float[Array, "..."],
) -> Float[Array, "..."]:
    """One factor of an unfolded piece multiplied by its name's matrices."""
    home = {name: i for i, name in enumerate(piece.names) if name}
    old, new = list(range(part.ndim)), part.ndim
    above = bound.parents[piece.names[factor]]
    # A parent that the leaf lacks has one unit.
    matrix = matrix[tuple(slice(None) if x in home else 0 for x in above)]
    axes = [home[x] for x in above if x in home]
    result = [new if i == factor else i for i in old]
    return jnp.einsum(matrix, [*axes, new, factor], part, old, result)
