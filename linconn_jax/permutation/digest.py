"""A short digest of the leaves of a tree, from a few entries of each."""

import hashlib
from functools import partial
from typing import Any

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


def _read(leaves: list[Array], places: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    """Each leaf's entries at its places, numbered row-major."""
    if all(_on_host(leaf) for leaf in leaves):
        views = [np.asarray(leaf).reshape(-1) for leaf in leaves]
        return [v[list(place)] for v, place in zip(views, places, strict=True)]
    arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
    if len({device for array in arrays for device in array.devices()}) > 1:
        # One program cannot take arrays of several placements.
        return list(map(_read_shards, leaves, places))
    whole = [x.addressable_data(0) if isinstance(x, jax.Array) else x for x in leaves]
    return jax.device_get(_gather(whole, places))


def _read_shards(leaf: Array, places: tuple[int, ...]) -> np.ndarray:
    """Entries of a leaf from whichever devices hold them."""
    if isinstance(leaf, np.ndarray):
        return leaf.reshape(-1)[list(places)]
    entries = [_entry(leaf, place) for place in places]
    return np.array(jax.device_get(entries), leaf.dtype)


def _entry(leaf: jax.Array, place: int) -> jax.Array:
    index = np.unravel_index(place, leaf.shape)
    for shard in leaf.addressable_shards:
        local = [
            i - (cut.start or 0) for i, cut in zip(index, shard.index, strict=True)
        ]
        if all(0 <= i < n for i, n in zip(local, shard.data.shape, strict=True)):
            return shard.data[tuple(local)]
    raise IndexError(f"no shard here holds place {place}")  # `_readable` asked


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
