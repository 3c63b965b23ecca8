"""What the algebra refuses: anything but single elements of one group."""

from typing import Any

import numpy as np

from linconn_jax.permutation.element import Permutation
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Array


def check_permutation(value: Any) -> None:
    """Refuses a plain dict, which does not say what lies under what."""
    if not isinstance(value, Permutation):
        raise ValueError(
            f"a {type(value).__name__} is given for a Permutation; make one with "
            "permutation.from_indices(spec, variables, {axis name: index array}) (of an "
            "alignment, take its .permutation)"
        )


def check_single(permutation: Any) -> None:
    """Refuses what is no single element of a group: a plain dict, or a batch."""
    check_permutation(permutation)
    batched = [
        name
        for name, index in permutation.items()
        if np.ndim(index) != 1 + len(permutation.parents(name))
    ]
    if batched:
        raise ValueError(
            f"the index arrays of {batched} have a leading axis: use jax.vmap for a "
            "batch of permutations"
        )


def check_alike(p: Any, q: Any) -> None:
    """Refuses two permutations that do not belong to one group."""
    check_single(p)
    check_single(q)
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


def check_rearrangement(name: str, index: np.ndarray) -> None:
    """Refuses an array whose last axis does not hold each of 0..n-1 once."""
    if not index.ndim or not np.issubdtype(index.dtype, np.integer):
        raise ValueError(
            f"the index array of {name!r} has shape {index.shape} and dtype "
            f"{index.dtype}; it must hold integers along an axis"
        )
    n = index.shape[-1]
    if not np.array_equal(
        np.sort(index, axis=-1), np.broadcast_to(np.arange(n), index.shape)
    ):
        raise ValueError(
            f"the index array of {name!r} is not a rearrangement of 0..{n - 1}: an index "
            "is repeated or out of range"
        )


def check_belongs(permutation: Permutation, bound: BoundSpec) -> None:
    """Refuses a permutation that is not of this spec; names of missing leaves pass."""
    missing = sorted(bound.parents.keys() - permutation.keys())
    extra = sorted(permutation.keys() - bound.parents.keys() - bound.absent)
    if missing or extra:
        raise ValueError(
            "the permutation does not belong to this spec: axis names missing "
            f"{missing}, unknown {extra}; make one with permutation.identity, "
            "permutation.random or linconn_jax.align"
        )
    for name, above in bound.parents.items():
        _check_index(name, permutation[name], bound.shape(name), above)
        if permutation.parents(name) != above:
            raise ValueError(
                f"the permutation does not belong to this spec: its {name!r} lies under "
                f"{permutation.parents(name)}, that of the spec under {above}"
            )


def _check_index(
    name: str, index: Any, shape: tuple[int, ...], parents: tuple[str, ...]
) -> None:
    integers = isinstance(index, Array) and np.issubdtype(index.dtype, np.integer)
    if integers and index.shape == shape:
        return
    dtype = getattr(index, "dtype", type(index).__name__)
    nested = f" for each of {', '.join(parents)}" if parents else ""
    raise ValueError(
        f"the permutation of {name!r} has shape {np.shape(index)} and dtype {dtype}; it "
        f"must be {shape[-1]} integers{nested}, shape {shape}, a rearrangement of "
        f"0..{shape[-1] - 1} (use jax.vmap for a batch of permutations)"
    )
