"""The units of one axis name, taken out of a value that holds them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from linconn_jax.permutation._read.named import Labels
from linconn_jax.permutation.axis_layout import Term, axis_terms, names
from linconn_jax.typing import Array, Float


def taken(
    value: Array, labels: Labels, chain: Sequence[str], sizes: Mapping[str, int]
) -> Iterator[Float[Array, "samples *parents units"]]:
    """The units of the last of `chain` under the others, wherever the value holds them.

    All other axes, and parts of axes, are samples. What holds a name of the chain twice,
    or not at all, is left out.
    """
    for terms in _choices(labels, np.shape(value), chain, sizes):
        piece, shape, found = value, [], []
        for axis, term in enumerate(terms):
            if term is None:
                shape.append(value.shape[axis])
                found.append(None)
                continue
            places = term.places
            if not np.array_equal(places, np.arange(value.shape[axis])):
                piece = jnp.take(piece, places, axis=axis)
            shape += term.shape
            found += [factor.atom and factor.atom.name for factor in term.factors]
        last = [found.index(name) for name in chain]
        first = [i for i in range(len(found)) if i not in last]
        piece = jnp.transpose(piece.reshape(shape), (*first, *last))
        yield piece.reshape(-1, *(sizes[name] for name in chain))


def holds(
    labels: Labels, shape: tuple[int, ...], chain: Sequence[str], sizes: Mapping
) -> bool:
    """Whether `taken` finds anything."""
    return next(_choices(labels, shape, chain, sizes), None) is not None


def _choices(
    labels: Labels, shape: tuple[int, ...], chain: Sequence[str], sizes: Mapping
) -> Iterator[tuple[Term | None, ...]]:
    """One term of each axis (None if it has no name) by which all names are there."""
    each = [
        axis_terms(label, n, sizes) if {*names(label)} & {*chain} else (None,)
        for label, n in zip(labels, shape, strict=True)
    ]
    for terms in itertools.product(*each):
        factors = [f for term in terms if term is not None for f in term.factors]
        found = [f.atom.name for f in factors if f.atom is not None]
        if all(found.count(name) == 1 for name in chain):
            yield terms
