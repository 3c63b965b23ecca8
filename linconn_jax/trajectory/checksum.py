"""A checksum of 32-bit words that is computed where the words are.

On devices it is a sum over words, so it needs no copy to the host and works on arrays
that are split over processes; the NumPy twin checks what has been read back.

Each word, offset by its position, goes through a bijection of 32-bit integers (the
finaliser of MurmurHash3, A. Appleby). One lane sums the results, the other sums them
times odd numbers that grow with the position, both modulo 2^32. Hence a change within
one word always changes the first lane, and any other change goes unseen with a chance
near 2^-64. It guards against damage, not against forgery.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt32

from linconn_jax.typing import Array

_STRIDE = np.uint32(0x9E3779B9)
_FIRST, _SECOND = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_BLOCK = 1 << 15  # words that NumPy works on at a time, to stay in cache


def checksum(words: UInt32[Array, "rows words"]) -> UInt32[Array, "rows 2"]:
    """Both lanes for each row, on the device; use inside `jax.jit`."""
    index = jax.lax.broadcasted_iota(jnp.uint32, words.shape, 1)
    mixed = _mix(words + (index + np.uint32(1)) * _STRIDE)
    weighted = mixed * (index * np.uint32(2) + np.uint32(1))
    lanes = [jnp.sum(lane, axis=1, dtype=jnp.uint32) for lane in (mixed, weighted)]
    return jnp.stack(lanes, axis=1)


def checksum_on_host(
    words: UInt32[np.ndarray, "rows words"],
) -> UInt32[np.ndarray, "rows 2"]:
    """The same numbers as `checksum`, by NumPy."""
    rows, length = words.shape
    lanes = np.zeros((rows, 2), np.uint32)
    for row in range(rows):
        for start in range(0, length, _BLOCK):
            block = words[row, start : start + _BLOCK]
            index = np.arange(start, start + block.size).astype(np.uint32)
            mixed = _mix(block + (index + np.uint32(1)) * _STRIDE)
            lanes[row, :1] += np.sum(mixed, dtype=np.uint32)
            mixed *= index * np.uint32(2) + np.uint32(1)
            lanes[row, 1:] += np.sum(mixed, dtype=np.uint32)
    return lanes


def as_text(lanes: UInt32[np.ndarray, "rows 2"]) -> list[str]:
    """Sixteen hex digits for each row."""
    return [f"{int(first):08x}{int(second):08x}" for first, second in lanes]


def _mix(words: Array | np.ndarray) -> Array | np.ndarray:
    words = (words ^ (words >> np.uint32(16))) * _FIRST
    words = (words ^ (words >> np.uint32(13))) * _SECOND
    return words ^ (words >> np.uint32(16))
