"""The two containers that `torch.save` has written: a zip file, and before 1.6 pickles.

Both hold a pickle that says what each tensor is made of, and apart from it the bytes of
the storages. See `unpickle` for what a pickle may do here: next to nothing.
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from linconn_jax.interchange import unpickle
from linconn_jax.interchange.unpickle import Storage, Tensor

_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001

MOST = 10**7
"""Values that a file may hold: lists that hold one list ten times each reach any number
in a few bytes."""


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `.pth` file by name, names of nested dicts joined with ".".

    Numbers, strings and None (an epoch, say) are left out. Tensors that share a storage
    are views on one array.

    Raises:
      ValueError: the file is damaged, or is or holds something else than tensors.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_ZIP))
            file.seek(0)
            return _read_zip(file) if start == _ZIP else _read_legacy(file)
    except unpickle.Refused as error:
        raise ValueError(f"{path} is not read: {error}") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle can raise whatever it likes
        raise ValueError(
            f"{path} cannot be read as a file of torch.save: it is truncated, damaged "
            f"or of another format ({type(error).__name__}: {error})"
        ) from error


def _read_zip(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        pickles = [n for n in names if n.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise ValueError(f"it should hold one data.pkl, and holds {pickles}")
        if any(x.compress_type != zipfile.ZIP_STORED for x in archive.infolist()):
            raise ValueError(
                "it is compressed, which torch.save never does and which lets a small "
                "file swell to any size: unpack it and pack it again with zip -0"
            )
        folder = pickles[0].removesuffix("data.pkl")
        order = folder + "byteorder"
        if order in names and archive.read(order) != b"little":
            raise ValueError("it was written on a big-endian machine")
        tensors = _flatten(unpickle.read(io.BytesIO(archive.read(pickles[0]))))
        stored = {
            storage.key: _read_member(archive, f"{folder}data/{storage.key}", storage)
            for storage in {tensor.storage for tensor in tensors.values()}
        }
    return {name: x.values(stored[x.storage.key]) for name, x in tensors.items()}


def _read_member(archive: zipfile.ZipFile, name: str, storage: Storage) -> np.ndarray:
    size = archive.getinfo(name).file_size
    if size != storage.size:
        raise ValueError(f"{name} has {size} bytes, not {storage.size}")
    values = np.empty(size, np.uint8)
    with archive.open(name) as file:
        if file.readinto(values) != size:
            raise ValueError(f"{name} ends early")
    return values


def _read_legacy(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """magic number, version, machine, pickle, keys of the storages, the storages."""
    if unpickle.read(file) != _MAGIC:
        raise ValueError("it does not start as one")
    if (version := unpickle.read(file)) != _VERSION:
        raise ValueError(f"its version is {version}, not {_VERSION}")
    if not unpickle.read(file)["little_endian"]:
        raise ValueError("it was written on a big-endian machine")
    tensors = _flatten(unpickle.read(file))
    storages = {x.storage.key: x.storage for x in tensors.values()}
    stored = {}
    for key in unpickle.read(file):
        count = int.from_bytes(file.read(8), "little")
        if key not in storages:
            raise ValueError(f"storage {key!r} belongs to no tensor")
        if count != storages[key].count:
            raise ValueError(f"storage {key!r} has {count} elements, not as announced")
        stored[key] = _read_bytes(file, storages[key].size)
    return {name: x.values(stored[x.storage.key]) for name, x in tensors.items()}


def _read_bytes(file: io.BufferedIOBase, size: int) -> np.ndarray:
    here = file.tell()
    left = file.seek(0, io.SEEK_END) - here
    file.seek(here)
    if size > left:
        raise ValueError(f"it ends {size - left} bytes early")
    return np.fromfile(file, np.uint8, size)


def _flatten(value: Any) -> dict[str, Tensor]:
    """Tensors by name, wherever they are in dicts, lists and tuples."""
    found: dict[str, Tensor] = {}
    for count, (name, child) in enumerate(_walk(value, "")):
        if count > MOST:
            raise ValueError(f"its containers hold more than {MOST} values")
        if isinstance(child, Tensor):
            if name in found:
                raise ValueError(f"two tensors have the name {name!r}")
            found[name] = child
    return found


def _walk(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A value and all inside it by name, parents first."""
    if isinstance(value, unpickle.Parameter):
        value = value.tensor
    yield name, value
    items = []
    if isinstance(value, dict):
        items = dict.items(value)
    elif isinstance(value, list | tuple) and not isinstance(value, Tensor):
        items = enumerate(value)
    for key, child in items:
        yield from _walk(child, f"{name}.{key}" if name else str(key))
