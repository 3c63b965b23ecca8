"""The group of permutations that a spec allows, and its action on trees.

A permutation is a dict from axis name to an index array `p` of shape `[units]`, read as a
gather: **new unit i is old unit p[i]**. Applying `first` and then `then` is applying
`compose(first, then)`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.spec import Block, Label, Spec, leaves, sizes
from linconn_jax.typing import Array, Key, PyTree

Permutation = dict[str, Array]


def identity(spec: Spec, variables: PyTree) -> Permutation:
    """The permutation that moves nothing."""
    return {name: jnp.arange(n) for name, n in sizes(spec, variables).items()}


def random(key: Key, spec: Spec, variables: PyTree) -> Permutation:
    """A uniformly random element of the group."""
    units = sizes(spec, variables)
    keys = jax.random.split(key, max(len(units), 1))
    return {
        name: jax.random.permutation(k, n)
        for (name, n), k in zip(units.items(), keys, strict=bool(units))
    }


def inverse(permutation: Permutation) -> Permutation:
    """The permutation that undoes `permutation`."""
    return {name: jnp.argsort(p) for name, p in permutation.items()}


def compose(first: Permutation, then: Permutation) -> Permutation:
    """`permute(compose(first, then), x) == permute(then, permute(first, x))`.

    Raises:
      ValueError: the two have different axis names or sizes.
    """
    _check_alike(first, then)
    return {name: jnp.take(p, then[name], axis=-1) for name, p in first.items()}


def agreement(p: Permutation, q: Permutation) -> dict[str, Array]:
    """Fraction of fixed points of `P ∘ Q⁻¹` for each axis name, in [0, 1].

    A unit is fixed where `p[i] == q[i]`: both put the same old unit in place i (Sharma
    et al. 2024, similarity of two permutations). `overall` weights it by units.

    Raises:
      ValueError: the two have different axis names or sizes.
    """
    _check_alike(p, q)
    return {name: jnp.mean(p[name] == q[name]) for name in p}


def overall(fractions: dict[str, Array], permutation: Permutation) -> float:
    """Mean of per-axis fractions weighted by the number of units of each axis."""
    units = {name: p.shape[-1] for name, p in permutation.items()}
    total = sum(units.values())
    return float(sum(fractions[name] * n for name, n in units.items()) / max(total, 1))


def permute(spec: Spec, permutation: Permutation, tree: PyTree) -> PyTree:
    """Moves the units of `tree`, one gather for each labelled axis.

    Args:
      spec: tree of `Axes` with the structure of `tree`.
      permutation: `{axis name: index array [units]}`; new unit i is old unit p[i].
      tree: variables, gradients, masks, momenta, batch statistics, or any of them
        stacked along leading axes.

    Returns:
      A tree of the same structure, shapes and dtypes.

    Raises:
      ValueError: the spec does not fit the tree, or the permutation lacks an axis name,
        has one too many, or has an index array of the wrong length or dtype.
    """
    _check_fits(permutation, sizes(spec, tree))
    moved = [
        _permute_leaf(leaf, axes.labels, permutation)
        for _, leaf, axes in leaves(spec, tree)
    ]
    return jax.tree.unflatten(jax.tree.structure(tree), moved)


def gather_axis(leaf: Array, axis: int, label: Label, index: Array) -> Array:
    """One labelled axis of one leaf gathered by `index` (positions of a block alike)."""
    if isinstance(label, Block):
        units = index.shape[0]
        starts = units * jnp.arange(label.factors[0])
        index = (starts[:, None] + index[None, :]).reshape(-1)
    return jnp.take(leaf, index, axis=axis, mode="clip")


def _permute_leaf(
    leaf: Array, labels: tuple[Label, ...], permutation: Permutation
) -> Array:
    first = np.ndim(leaf) - len(labels)
    for axis, label in enumerate(labels, start=first):
        if label is not None:
            index = jnp.asarray(permutation[label.name])
            leaf = gather_axis(leaf, axis, label, index)
    return leaf


def _check_fits(permutation: Permutation, units: dict[str, int]) -> None:
    missing = sorted(set(units) - set(permutation))
    extra = sorted(set(permutation) - set(units))
    if missing or extra:
        raise ValueError(
            "the permutation does not belong to this spec: axis names missing "
            f"{missing}, unknown {extra}; make one with permutation.identity, "
            "permutation.random or linconn_jax.align"
        )
    for name, n in units.items():
        index = permutation[name]
        if np.shape(index) != (n,) or not jnp.issubdtype(index.dtype, jnp.integer):
            raise ValueError(
                f"the permutation of {name!r} has shape {np.shape(index)} and dtype "
                f"{index.dtype}; it must be {n} integers, a rearrangement of 0..{n - 1} "
                "(use jax.vmap for a batch of permutations)"
            )
        if not isinstance(index, jax.core.Tracer) and not np.array_equal(
            np.sort(np.asarray(index)), np.arange(n)
        ):
            raise ValueError(
                f"the index array of {name!r} is not a rearrangement of 0..{n - 1}: "
                "an index is repeated or out of range"
            )


def _check_alike(p: Permutation, q: Permutation) -> None:
    a = {name: np.shape(x)[-1] for name, x in p.items()}
    b = {name: np.shape(x)[-1] for name, x in q.items()}
    if a != b:
        differ = sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))
        raise ValueError(
            "the two permutations belong to different specs: axis names and units "
            f"{ {n: (a.get(n), b.get(n)) for n in differ} } differ; both must come "
            "from one spec and networks of one width"
        )
