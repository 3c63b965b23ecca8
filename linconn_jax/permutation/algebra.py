"""The group of permutations that a spec allows.

A permutation holds for each axis name an index array of shape `[*parents, units]`, read
as a gather: **new unit i is old unit p[i]**. Of a nested name X under A, new (a, i) is
old (p_A[a], p_X[a, i]). Applying `first` and then `then` is applying
`compose(first, then)`. Arrays of the host stay on the host.
"""

import functools
import math
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation.element import (
    Permutation,
    check_alike,
    check_rearrangement,
    check_single,
)
from linconn_jax.permutation.spec import BoundSpec, Spec, bind
from linconn_jax.typing import Array, Int, Key, PyTree


def identity(spec: Spec | BoundSpec, variables: PyTree = None) -> Permutation:
    """The permutation that moves nothing (`variables` as of `bind`)."""
    return jax.tree.map(jnp.asarray, bind(spec, variables).identity())


def random(key: Key, spec: Spec | BoundSpec, variables: PyTree = None) -> Permutation:
    """A uniformly random element of the group (`variables` as of `bind`)."""
    ordered = identity(spec, variables)
    keys = jax.random.split(key, len(ordered))
    return ordered.replace(
        {
            name: jax.random.permutation(one, index, axis=-1, independent=True)
            for one, (name, index) in zip(keys, ordered.items(), strict=True)
        }
    )


def from_indices(
    spec: Spec | BoundSpec, variables: PyTree, indices: Mapping[str, Any]
) -> Permutation:
    """A permutation from `{axis name: index array [*parents, units]}`, checked.

    Args:
      spec: tree of `Axes` and `Stacked`, or a bound one.
      variables: as of `bind`; None is enough for a bound spec.
      indices: names that only missing leaves of `variables` carry are left out.

    Raises:
      ValueError: a name is missing or unknown, or an array has the wrong shape or dtype
        or is not a rearrangement (values that are traced cannot be looked at).
    """
    if not isinstance(indices, Mapping) or not all(isinstance(x, str) for x in indices):
        raise ValueError(
            f"the permutation is a {type(indices).__name__}; it must be a Permutation or "
            "{axis name (str): index array} (of an alignment, take its .permutation)"
        )
    bound = bind(spec, variables)
    arrays = {n: _as_array(n, p) for n, p in indices.items() if n not in bound.absent}
    p = Permutation.of(arrays, bound.parents)
    bound.check(p)
    for name, index in arrays.items():
        if not isinstance(index, jax.core.Tracer):
            check_rearrangement(name, np.asarray(index))
    return p


def inverse(permutation: Permutation) -> Permutation:
    """The permutation that undoes `permutation`.

    Raises:
      ValueError: `permutation` is a plain dict or a batch.
    """
    check_single(permutation)
    undone: dict[str, Array] = {}
    for name, index in permutation.items():
        units = points(permutation, name).argsort() % index.shape[-1]
        undone[name] = units.reshape(index.shape)
    return permutation.replace(undone)


def compose(first: Permutation, then: Permutation) -> Permutation:
    """`permute(compose(first, then), x) == permute(then, permute(first, x))`.

    Raises:
      ValueError: the two have different axis names, sizes or nesting.
    """
    check_alike(first, then)
    p, q = on_one_side(first, then)
    return p.replace(
        {
            name: index.reshape(-1)[points(q, name)].reshape(index.shape)
            for name, index in p.items()
        }
    )


def power(permutation: Permutation, n: int) -> Permutation:
    """`permutation` applied n times; its inverse applied -n times if n is negative.

    Raises:
      TypeError: n is no integer.
      ValueError: `permutation` is a plain dict or a batch.
    """
    check_single(permutation)
    n = operator.index(n)
    base = inverse(permutation) if n < 0 else permutation
    result, n = compose(base, inverse(base)), abs(n)
    while n:
        if n % 2:
            result = compose(result, base)
        base, n = compose(base, base), n // 2
    return result


def agreement(p: Permutation, q: Permutation) -> dict[str, Array]:
    """Fraction of fixed points of `P ∘ Q⁻¹` for each axis name, in [0, 1].

    A unit is fixed where both put the same old unit in its place (Sharma et al. 2024,
    similarity of two permutations); of a nested name: the same old unit of the same old
    parent. 1 of a name without units. `overall` weights it by units.

    Raises:
      ValueError: the two have different axis names, sizes or nesting.
    """
    check_alike(p, q)
    p, q = on_one_side(p, q)
    same = {name: points(p, name) == points(q, name) for name in p}
    return {name: jnp.mean(x) if x.size else jnp.ones(()) for name, x in same.items()}


def overall(fractions: Mapping[str, Any], permutation: Permutation) -> float:
    """Mean of per-axis fractions weighted by the number of units of each axis."""
    units = {name: index.size for name, index in permutation.items() if index.size}
    total = sum(fractions[name] * n for name, n in units.items())
    return float(total / max(sum(units.values()), 1))


def cycle_type(permutation: Permutation) -> dict[str, tuple[int, ...]]:
    """Lengths of the cycles of each name's units, longest first, 1s among them.

    Units of a nested name are counted under all parents: `parents * units` in all.
    """
    check_single(permutation)
    return {
        name: _cycles(np.asarray(points(permutation, name))) for name in permutation
    }


def order(permutation: Permutation) -> int:
    """The smallest n ≥ 1 for which `power(permutation, n)` moves nothing."""
    lengths = [n for cycles in cycle_type(permutation).values() for n in cycles]
    return math.lcm(1, *lengths)


def _cycles(index: Int[np.ndarray, " points"]) -> tuple[int, ...]:
    seen, lengths = np.zeros(len(index), bool), []
    for start in range(len(index)):
        place, count = start, 0
        while not seen[place]:
            seen[place], place, count = True, index[place], count + 1
        if count:
            lengths.append(count)
    return tuple(sorted(lengths, reverse=True))


def points(permutation: Permutation, name: str) -> Int[Array, " points"]:
    """The action on the units of a name under all its parents, numbered row-major."""
    above, index = permutation.parents(name), permutation[name]
    if not above:
        return index
    path = (*above, name)
    # The number of a point may be too large for the dtype of an index.
    wide = index.dtype if index.dtype.itemsize >= 4 else np.dtype(np.int32)
    grid = np.indices(index.shape, wide, sparse=True)
    new, old = dict(zip(path, grid, strict=True)), 0
    for x, length in zip(path, index.shape, strict=True):
        place = new[x]
        if x in permutation:  # else fixed
            place = permutation[x][(*(new[a] for a in permutation.parents(x)), place)]
        old = old * length + place.astype(wide)
    return old.reshape(-1)


def on_one_side(p: Permutation, q: Permutation) -> tuple[Permutation, Permutation]:
    """Both on the host, or both in JAX, with integers of one size."""
    if all(isinstance(x, np.ndarray) for x in (*p.values(), *q.values())):
        return p, q
    as_jax = functools.partial(jax.tree.map, lambda x: jnp.asarray(x).astype(jnp.int32))
    return as_jax(p), as_jax(q)


def _as_array(name: str, index: Any) -> Array:
    if isinstance(index, jax.Array):
        return index
    try:
        return np.asarray(index)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"the index array of {name!r} is no array: {error}") from error
