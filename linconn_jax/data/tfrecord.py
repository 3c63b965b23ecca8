"""TFRecord files without TensorFlow: the framing that tfds writes by default.

A record is its length (8 bytes, little endian), the masked CRC-32C of the length, the
data, and the masked CRC-32C of the data.
"""

import struct
from collections.abc import Iterable, Iterator
from os import PathLike

_POLYNOMIAL = 0x82F63B78


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """CRC-32C of `data`, rotated and offset as TFRecord stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(files: Iterable[str | PathLike]) -> Iterator[bytes]:
    """The records of some files, one file after the other.

    Lengths are checked against their CRC. Data are not (in Python that is slower than
    all the rest): a PNG carries a CRC of its own.

    Raises:
      ValueError: a file is damaged or cut short.
    """
    for file in files:
        with open(file, "rb") as stream:
            while head := stream.read(12):
                length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else -1
                if length < 0 or struct.pack("<I", masked_crc(head[:8])) != head[8:]:
                    raise ValueError(f"{file} is damaged: a record has no valid length")
                data = stream.read(length + 4)
                if len(data) != length + 4:
                    raise ValueError(f"{file} is cut short; copy it again")
                yield data[:-4]
