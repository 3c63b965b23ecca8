"""TFRecord files without TensorFlow: the framing that tfds writes by default.

A record is its length (8 bytes, little endian), a checksum of the length (4 bytes), the
data, and the masked CRC-32C of the data (4 bytes).
"""

import functools
import struct
from collections.abc import Iterable, Iterator
from os import PathLike

import numpy as np

_POLYNOMIAL = 0x82F63B78
_BLOCK = 4096


@functools.cache
def _table() -> np.ndarray:
    """`table[k, b]`: what byte b does to the CRC when k bytes follow, uint32."""
    first = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        first = first >> 1 ^ np.where(first & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    table = np.empty((_BLOCK, 256), np.uint32)
    table[0] = first
    for k in range(1, _BLOCK):
        table[k] = table[k - 1] >> 8 ^ first[table[k - 1] & 0xFF]
    return table


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli). It is linear, so bytes of a block are looked up at once."""
    table, state = _table(), 0xFFFFFFFF
    for start in range(0, len(data), _BLOCK):
        block = np.frombuffer(data[start : start + _BLOCK], np.uint8).copy()
        size = len(block)
        carried = np.frombuffer(struct.pack("<I", state), np.uint8)[:size]
        block[: len(carried)] ^= carried
        found = np.bitwise_xor.reduce(table[np.arange(size)[::-1], block])
        state = int(found) ^ state >> 8 * size
    return state ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A CRC rotated and offset, as TFRecord stores it."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(files: Iterable[str | PathLike]) -> Iterator[bytes]:
    """The records of some files, one file after the other.

    Raises:
      ValueError: a file is damaged or cut short.
    """
    for file in files:
        with open(file, "rb") as stream:
            left = stream.seek(0, 2)
            stream.seek(0)
            while left:
                length = int.from_bytes(stream.read(12)[:8], "little")
                left -= length + 16
                if left < 0:
                    raise ValueError(f"{file} is damaged or cut short; copy it again")
                data, crc = stream.read(length), stream.read(4)
                if struct.pack("<I", masked(crc32c(data))) != crc:
                    raise ValueError(
                        f"{file} is damaged: a record's checksum is wrong; copy it again"
                    )
                yield data
