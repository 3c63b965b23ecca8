"""A `state_dict` becomes a tree, and a tree a `state_dict`, by the rules of a mapping."""

from collections.abc import Mapping, Sequence

import numpy as np

from linconn_jax.interchange import named
from linconn_jax.interchange.mapping import Move, Rule, moves
from linconn_jax.typing import Array, PyTree


def from_torch(
    state: Mapping[str, Array], rules: Sequence[Rule], *, like: PyTree = None
) -> PyTree:
    """The tree that a `state_dict` describes.

    Args:
      state: `{key: array}`, of `load`.
      rules: of `mapping`; every key must be taken by exactly one of them.
      like: the tree to fill, of arrays or `jax.ShapeDtypeStruct`s
        (`jax.eval_shape(model.init, ...)`): every leaf must be filled, in its shape.
        Without it nested dicts are made, and nothing is known of shapes.

    Returns:
      NumPy arrays of the dtypes of `state`, none sharing memory with it.

    Raises:
      ValueError: with the lists of all that does not fit.
    """
    arrays = {}
    for move in moves(state, rules):
        array = np.asarray(state[move.key])
        if move.twin is not None:
            _check_tied(move, array, state)
        if move.leaf is not None:
            arrays[move.leaf] = _lay(move, array, to_torch=False)
    return named.nest(arrays) if like is None else named.restore(arrays, like)


def to_torch(
    tree: PyTree, rules: Sequence[Rule], *, like: Mapping[str, Array]
) -> dict[str, np.ndarray]:
    """The `state_dict` of a tree: the inverse of `from_torch` under the same rules.

    Args:
      tree: what `from_torch` gave, permuted or trained.
      rules: the same.
      like: the `state_dict` that was read. Its keys, their order, shapes and dtypes are
        kept (values are rounded to the latter), and its arrays that have no place in a
        tree are copied: `num_batches_tracked`.

    Raises:
      ValueError: with the lists of all that does not fit, values among them: 1e6 for
        float16.
    """
    leaves, steps = named.leaves(tree), moves(like, rules)
    wanted = {move.leaf for move in steps if move.leaf is not None}
    faults = [
        f"  {what}: {sorted(names)}"
        for what, names in (
            ("leaves that the tree lacks", wanted - leaves.keys()),
            ("leaves that no rule takes", leaves.keys() - wanted),
        )
        if names
    ]
    if faults:
        raise ValueError("the tree does not fit the rules:\n" + "\n".join(faults))
    state = {}
    for move in steps:
        original = np.asarray(like[move.key])
        if move.leaf is None:
            state[move.key] = original.copy()
            continue
        array = _lay(move, np.asarray(leaves[move.leaf]), to_torch=True)
        if array.shape != original.shape:
            faults.append(
                f"  {move.key} {array.shape}, not {original.shape} as in like"
            )
            continue
        state[move.key], lost = _cast(array, original.dtype)
        if lost:
            faults.append(
                f"  {move.key} is {array.dtype}, with values that the {original.dtype} "
                "of like cannot hold: give like another dtype"
            )
    if faults:
        raise ValueError("the tree does not fit `like`:\n" + "\n".join(faults))
    return state | {m.key: state[m.twin].copy() for m in steps if m.twin is not None}


def _cast(array: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, bool]:
    """The array in another dtype, and whether more is lost than digits of floats."""
    if np.iscomplexobj(array) and dtype.kind != "c":
        return array, True
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype, copy=False)
        changed = cast != array if dtype.kind in "biu" else ~np.isfinite(cast)
    return cast, bool(np.any(changed & np.isfinite(array)))


def _check_tied(move: Move, array: np.ndarray, state: Mapping[str, Array]) -> None:
    other = np.asarray(state[move.twin])
    if array.dtype != other.dtype or not np.array_equal(array, other, equal_nan=True):
        raise ValueError(
            f"{move.key} and {move.twin} differ, so they are not tied: give each a leaf"
        )


def _lay(move: Move, array: np.ndarray, *, to_torch: bool) -> np.ndarray:
    layout = move.layout
    try:
        laid = (layout.to_torch if to_torch else layout.to_tree)(array)
    except ValueError as error:
        raise ValueError(
            f"{move.key} of shape {array.shape} does not fit {move.rule}: {error}"
        ) from error
    return np.array(laid, order="C")
