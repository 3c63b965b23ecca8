"""A short digest of the leaves of a tree, from a few entries of each."""

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from linconn_jax.typing import Array

SAMPLES = 8
"""Entries of each leaf that are read."""


def digest(leaves: list[Any]) -> str | None:
    """Digest of a few fixed entries of every leaf, in their order; random keys left out.

    None if the leaves cannot be read here and now (traced, spread over several hosts,
    only shapes), or there are none.
    """
    if not all(map(_readable, leaves)):
        return None
    leaves = [leaf for leaf in leaves if not _is_key(leaf)]
    if not leaves:
        return None
    places = tuple(_places(i, leaf.size) for i, leaf in enumerate(leaves))
    found = hashlib.blake2b(digest_size=8)
    for leaf, sample in zip(leaves, _read(leaves, places), strict=True):
        found.update(f"{sample.dtype.str} {np.shape(leaf)};".encode())
        found.update(sample.tobytes())
    return found.hexdigest()


def _places(number: int, size: int) -> tuple[int, ...]:
    """Pseudo-random places, others for each leaf (Knuth's multiplicative hash)."""
    first = SAMPLES * number + 1
    return tuple(0x9E3779B1 * i % size for i in range(first, first + SAMPLES) if size)


def _readable(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray):
        return True
    if isinstance(leaf, jax.core.Tracer) or not isinstance(leaf, jax.Array):
        return False
    return leaf.is_fully_addressable


def _is_key(leaf: Array) -> bool:
    """Whether it is random keys, which are no numbers and say nothing of units."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


class _Piece(NamedTuple):
    """Places of one leaf whose entries one device (or the host) holds.

    Attributes:
      leaf: number of the leaf.
      slots: which of its places.
      data: what the device holds of it.
      at: the places in there, numbered row-major.
    """

    leaf: int
    slots: Any
    data: Array
    at: np.ndarray


def _read(leaves: list[Array], places: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    """Each leaf's entries at its places, numbered row-major; a program per device."""
    samples = [
        np.empty(len(at), leaf.dtype) for leaf, at in zip(leaves, places, strict=True)
    ]
    there: dict[Any, list[_Piece]] = {}
    for k, (leaf, at) in enumerate(zip(leaves, places, strict=True)):
        for piece in _pieces(k, leaf, np.array(at, int)):
            if _on_host(piece.data):
                flat = np.asarray(piece.data).reshape(-1)
                samples[k][piece.slots] = flat[piece.at]
            else:
                there.setdefault(piece.data.device, []).append(piece)
    found = [
        _gather([p.data for p in some], tuple(tuple(p.at.tolist()) for p in some))
        for some in there.values()
    ]
    for some, entries in zip(there.values(), jax.device_get(found), strict=True):
        for piece, values in zip(some, entries, strict=True):
            samples[piece.leaf][piece.slots] = values
    return samples


def _pieces(number: int, leaf: Array, places: np.ndarray) -> Iterator[_Piece]:
    if isinstance(leaf, np.ndarray):
        yield _Piece(number, slice(None), leaf, places)
        return
    if leaf.is_fully_replicated:
        yield _Piece(number, slice(None), leaf.addressable_data(0), places)
        return
    index, left = np.unravel_index(places, leaf.shape), np.ones(len(places), bool)
    for shard in leaf.addressable_shards:
        starts = [cut.start or 0 for cut in shard.index]
        local = [i - start for i, start in zip(index, starts, strict=True)]
        shape = shard.data.shape
        inside = [(i >= 0) & (i < n) for i, n in zip(local, shape, strict=True)]
        slots = np.flatnonzero(np.all(inside, axis=0) & left)
        left[slots] = False
        if slots.size:
            at = np.ravel_multi_index([i[slots] for i in local], shape)
            yield _Piece(number, slots, shard.data, at)


def _on_host(leaf: Array) -> bool:
    """Whether `np.asarray` gives a view of it."""
    if isinstance(leaf, np.ndarray):
        return True
    return len(leaf.devices()) == 1 and next(iter(leaf.devices())).platform == "cpu"


@partial(jax.jit, static_argnums=1)
def _gather(leaves: list[Array], places: tuple[tuple[int, ...], ...]) -> list[Array]:
    return [
        leaf.reshape(-1)[np.array(place, int)]
        for leaf, place in zip(leaves, places, strict=True)
    ]
