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

from linconn_jax.permutation.element import Permutation
from linconn_jax.permutation.frames import composed
from linconn_jax.permutation.spec import Spec, layout
from linconn_jax.typing import Array, Int, Key, PyTree


def identity(spec: Spec, variables: PyTree) -> Permutation:
    """The permutation that moves nothing."""
    found = layout(spec, variables)
    shapes = {name: found.shape(name) for name in found.parents}
    indices = {
        name: jnp.broadcast_to(_along_last(shape), shape)
        for name, shape in shapes.items()
    }
    return Permutation.of(indices, found.parents)


def random(key: Key, spec: Spec, variables: PyTree) -> Permutation:
    """A uniformly random element of the group."""
    found = layout(spec, variables)
    keys = jax.random.split(key, max(len(found.parents), 1))
    indices = {}
    for name, one in zip(found.parents, keys, strict=bool(found.parents)):
        *above, units = found.shape(name)
        if above:
            ordered = jnp.broadcast_to(_along_last((*above, units)), (*above, units))
            drawn = jax.random.permutation(one, ordered, axis=-1, independent=True)
        else:
            drawn = jax.random.permutation(one, units)
        indices[name] = drawn.astype(jnp.int32)
    return Permutation.of(indices, found.parents)


def from_indices(
    spec: Spec, variables: PyTree, indices: Mapping[str, Any]
) -> Permutation:
    """A permutation from `{axis name: index array [*parents, units]}`, checked.

    Raises:
      ValueError: a name is missing or unknown, or an array has the wrong shape or dtype
        or is not a rearrangement.
    """
    found = layout(spec, variables)
    arrays = {
        name: index if isinstance(index, jax.Array) else np.asarray(index)
        for name, index in indices.items()
    }
    p = Permutation.of(arrays, {name: found.parents.get(name, ()) for name in arrays})
    p.check({name: found.shape(name) for name in found.parents}, found.parents)
    for name, index in arrays.items():
        if not isinstance(index, jax.core.Tracer):
            check_rearrangement(name, np.asarray(index))
    return p


def inverse(permutation: Permutation) -> Permutation:
    """The permutation that undoes `permutation`; it maps the target to the source."""
    undone: dict[str, Array] = {}
    for name in sorted(permutation, key=lambda x: len(permutation.parents(x))):
        above = _places_of(undone, permutation, permutation.parents(name), name)
        index = permutation[name][above]
        xp = np if isinstance(index, np.ndarray) else jnp
        undone[name] = xp.argsort(index, axis=-1)
    return permutation.replace(undone).backward()


def compose(first: Permutation, then: Permutation) -> Permutation:
    """`permute(compose(first, then), x) == permute(then, permute(first, x))`.

    Raises:
      ValueError: the two have different axis names, sizes or nesting, or `then` does
        not start in the frame where `first` ends.
    """
    check_alike(first, then)
    p, q = _on_one_side(first, then)
    indices = {name: p[name][coordinates(q, name)] for name in p}
    return composed(first, then, indices)


def power(permutation: Permutation, n: int) -> Permutation:
    """`permutation` applied n times; its inverse applied -n times if n is negative.

    The result is unbound unless n is 1 or -1: only a permutation within one frame can
    be applied to its own result.

    Raises:
      TypeError: n is no integer.
    """
    n = operator.index(n)
    if n in (1, -1):
        return permutation if n == 1 else inverse(permutation)
    base = (inverse(permutation) if n < 0 else permutation).unbound()
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
    parent. `overall` weights it by units.

    Raises:
      ValueError: the two have different axis names, sizes or nesting.
    """
    check_alike(p, q)
    p, q = _on_one_side(p, q)
    return {name: jnp.mean(points(p, name) == points(q, name)) for name in p}


def overall(fractions: Mapping[str, Any], permutation: Permutation) -> float:
    """Mean of per-axis fractions weighted by the number of units of each axis."""
    units = {name: math.prod(p.shape) for name, p in permutation.items()}
    total = sum(units.values())
    return float(sum(fractions[name] * n for name, n in units.items()) / max(total, 1))


def cycle_type(permutation: Permutation) -> dict[str, tuple[int, ...]]:
    """Lengths of the cycles of each name's units, longest first, 1s among them.

    Units of a nested name are counted under all parents: `parents * units` in all.
    """
    return {
        name: _cycles(np.asarray(points(permutation, name))) for name in permutation
    }


def order(permutation: Permutation) -> int:
    """The smallest n ≥ 1 for which `power(permutation, n)` moves nothing."""
    lengths = [n for cycles in cycle_type(permutation).values() for n in cycles]
    return math.lcm(1, *lengths)


def points(permutation: Permutation, name: str) -> Int[Array, " points"]:
    """The action on the units of a name under all its parents, numbered row-major."""
    old = coordinates(permutation, name)
    shape = permutation[name].shape
    flat = old[0]
    for length, place in zip(shape[1:], old[1:], strict=True):
        flat = flat * length + place
    return flat.reshape(-1)


def coordinates(permutation: Permutation, name: str) -> tuple[Array, ...]:
    """Old place of each new unit: arrays that broadcast to `[*parents, units]`."""
    above = _places_of(
        permutation.indices, permutation, permutation.parents(name), name
    )
    return (*(x[..., None] for x in above), permutation[name])


def check_alike(p: Permutation, q: Permutation) -> None:
    """Refuses two permutations that do not belong to one group."""
    a, b = ({name: x[name].shape for name in x} for x in (p, q))
    if a != b:
        differ = sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))
        raise ValueError(
            "the two permutations belong to different specs: axis names and shapes "
            f"{ {n: (a.get(n), b.get(n)) for n in differ} } differ; both must come "
            "from one spec and networks of one width"
        )
    if p.nesting != q.nesting:
        raise ValueError(
            "the two permutations belong to different specs: the names under others are "
            f"{dict(p.nesting)} and {dict(q.nesting)}"
        )
    batched = sorted(n for n in a if len(a[n]) != 1 + len(p.parents(n)))
    if batched:
        raise ValueError(
            f"the index arrays of {batched} have a leading axis: use jax.vmap for a "
            "batch of permutations"
        )


def _on_one_side(p: Permutation, q: Permutation) -> tuple[Permutation, Permutation]:
    """Both on the host, or both in JAX, with integers of one size."""
    if all(isinstance(x, np.ndarray) for x in (*p.values(), *q.values())):
        return p, q
    as_jax = functools.partial(jax.tree.map, lambda x: jnp.asarray(x).astype(jnp.int32))
    return as_jax(p), as_jax(q)


def _places_of(
    indices: Mapping[str, Array],
    like: Permutation,
    parents: tuple[str, ...],
    name: str,
) -> tuple[Array, ...]:
    """Old place of each parent, arrays that broadcast to `[*parents]` of `name`."""
    shape = like[name].shape[:-1]
    rank = len(parents)
    found = []
    for axis, parent in enumerate(parents):
        if parent in like:
            index = indices[parent]
            axes = [parents.index(x) for x in (*like.parents(parent), parent)]
        else:  # fixed
            index, axes = np.arange(shape[axis], dtype=like[name].dtype), [axis]
        index = index.transpose(np.argsort(axes))
        spread = [shape[i] if i in axes else 1 for i in range(rank)]
        found.append(index.reshape(spread))
    return tuple(found)


def _along_last(shape: tuple[int, ...]) -> Array:
    return jnp.arange(shape[-1], dtype=jnp.int32).reshape(
        (1,) * (len(shape) - 1) + (-1,)
    )


def _cycles(index: Int[np.ndarray, " points"]) -> tuple[int, ...]:
    seen, lengths = np.zeros(len(index), bool), []
    for start in range(len(index)):
        place, count = start, 0
        while not seen[place]:
            seen[place], place, count = True, index[place], count + 1
        if count:
            lengths.append(count)
    return tuple(sorted(lengths, reverse=True))


def check_rearrangement(name: str, index: Any) -> None:
    """Refuses an array whose last axis does not hold each of 0..n-1 once."""
    n = index.shape[-1]
    if not np.array_equal(
        np.sort(index, axis=-1), np.broadcast_to(np.arange(n), index.shape)
    ):
        raise ValueError(
            f"the index array of {name!r} is not a rearrangement of 0..{n - 1}: an index "
            "is repeated or out of range"
        )
