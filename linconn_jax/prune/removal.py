"""Masks of a network: dense ones, those without the smallest weights, random ones."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import checks
from linconn_jax.prune.tree import Flat, check_alike, count, flat, flat_masks
from linconn_jax.typing import Bool, Key, PyTree, Shaped, Variables

SCOPES = ("global", "layer")


def dense(variables: Variables) -> PyTree:
    """Masks that keep everything; `variables` may be shapes."""
    return jax.tree.map(lambda leaf: np.ones(np.shape(leaf), bool), variables)


def magnitude(
    variables: Variables,
    masks: PyTree,
    fraction: float,
    *,
    scope: str = "global",
    exclude: Sequence[str] = (),
) -> PyTree:
    """Masks without the smallest of the weights that `masks` keep.

    The rule of open_lth (`pruning/sparse_global.py`), as in Sharma et al. (2024): of all
    entries of kernels that are left, **those of excluded kernels counted too**,
    `fraction` is removed, rounded up; all of it from kernels that are not excluded. So
    each level leaves 1 - fraction of the kernels' entries, whatever is excluded. (Their
    global code keeps what is above the next magnitude: it removes one weight more.)

    Exactly this many go, the smallest magnitudes first; of equal ones those of the
    earlier leaf, and in a leaf the earlier in row-major order, on every machine. If no
    two are equal, pruning commutes with permuting.

    Pruning k times at once ("one-shot") is one call with dense masks and the fraction
    `1 - (1 - fraction)**k`: it keeps as many as k levels would, up to k weights, which
    they lose by rounding up.

    Args:
      variables: of one network, of any float dtypes; magnitudes are compared exactly.
      masks: of the same structure and shapes; entries that they remove stay removed.
      fraction: of what is left, above 0 and below 1, taken as the decimal that it is
        written as: .07 of 100 are 7.
      scope: "global" compares magnitudes of all kernels; "layer" removes the fraction
        from each kernel by itself, and nothing for those that are excluded.
      exclude: patterns of paths of kernels that are not pruned.

    Returns:
      New masks; leaves that are not pruned are the same arrays.

    Raises:
      ValueError: the trees differ, a mask is not bool, a weight that may be pruned is NaN
        or no real float, nothing is left to remove or less than is to be removed, or an
        option makes no sense.
    """
    fraction = checks.check("fraction", fraction, checks.number(above=0, below=1))
    scope = checks.check("scope", scope, checks.one_of(*SCOPES, many="scopes"))
    held, given = flat_masks(masks), flat(variables)
    check_alike(held, given, "the variables")
    chosen = held.chosen(exclude)
    sizes = _kept_magnitudes(held, given, chosen)
    kept = {i: count(held.leaves[i]) for i in held.kernels}
    groups = [chosen] if scope == "global" else [[i] for i in chosen]
    new = list(held.leaves)
    removed = 0
    for group in groups:
        counted = kept.values() if scope == "global" else [kept[i] for i in group]
        due = math.ceil(Fraction(str(fraction)) * sum(counted))
        left = sum(kept[i] for i in group)
        if due > left:
            raise ValueError(
                f"fraction={fraction} of the {sum(counted)} entries that are left in "
                f"kernels are {due} to be removed, but only {left} of them may be "
                "pruned; stop before this level, or exclude less"
            )
        gone = smallest(np.concatenate([sizes[i] for i in group]), due)
        ends = np.cumsum([kept[i] for i in group])[:-1]
        for i, part in zip(group, np.split(gone, ends), strict=True):
            new[i] = np.zeros(held.leaves[i].shape, bool)
            new[i][held.leaves[i]] = ~part
        removed += due
    if not removed:
        raise ValueError(
            "nothing is left in any kernel, so that nothing can be removed; stop before "
            "this level"
        )
    return held.tree(new)


def random(masks: PyTree, *, key: Key, exclude: Sequence[str] = ()) -> PyTree:
    """Masks that keep as many entries in each leaf, at random places of the whole leaf.

    What is drawn for a leaf depends on the key and on the leaf's number in the tree, not
    on other leaves. The words of NumPy's PCG64 are ranked, which are the same on every
    machine and in every version (NEP 19).

    Args:
      masks: of one network.
      key: one key of `jax.random`.
      exclude: patterns of paths of kernels that stay as they are.

    Raises:
      ValueError: a mask is not bool, `key` is not one key, or a pattern makes no sense.
    """
    held, words = flat_masks(masks), _words(key)
    new = list(held.leaves)
    for i in held.chosen(exclude):
        mask = held.leaves[i]
        seed = np.random.SeedSequence(words, spawn_key=(i,))
        drawn = np.asarray(np.random.PCG64(seed).random_raw(mask.size))
        kept = smallest(drawn, count(mask))
        new[i] = kept.reshape(mask.shape)
    return held.tree(new)


def smallest(values: Shaped[np.ndarray, " n"], number: int) -> Bool[np.ndarray, " n"]:
    """Marks the `number` smallest of unsigned integers, of equal ones the first."""
    if not number:
        return np.zeros(len(values), bool)
    last = np.partition(values, number - 1)[number - 1]
    marked = values < last
    equal = np.flatnonzero(values == last)
    marked[equal[: number - count(marked)]] = True
    return marked


def _kept_magnitudes(
    masks: Flat, variables: Flat, chosen: list[int]
) -> dict[int, Shaped[np.ndarray, " kept"]]:
    """Of each chosen leaf, in row-major order, as integers that are ordered alike."""
    found = {}
    for i in chosen:
        weights = np.asarray(variables.leaves[i])
        if not (
            jnp.issubdtype(weights.dtype, jnp.floating) and weights.dtype.itemsize <= 8
        ):
            raise ValueError(
                f"leaf {variables.paths[i]} has dtype {weights.dtype}; what may be "
                "pruned must be floats of at most 64 bits: exclude it"
            )
        found[i] = np.abs(weights[masks.leaves[i]])
        if np.isnan(found[i]).any():
            raise ValueError(
                f"leaf {variables.paths[i]} holds NaN, which has no magnitude; the "
                "network diverged and cannot be pruned"
            )
    wide = any(x.dtype.itemsize == 8 for x in found.values())
    # Bits of floats without sign are ordered as their values are, also in a process where
    # the tiniest floats are taken for zeros.
    to, bits = (np.float64, np.uint64) if wide else (np.float32, np.uint32)
    return {i: x.astype(to).view(bits) for i, x in found.items()}


def _words(key: Any) -> list[int]:
    try:
        words = np.asarray(jax.random.key_data(key))
    except TypeError:
        words = np.zeros(())
    if words.ndim != 1:
        raise ValueError(f"key is {key!r}; it must be one key, as jax.random.key(0)")
    return words.tolist()
