"""The two containers that `torch.save` has written: a zip file, and before 1.6 pickles.

Both hold a pickle that says what each tensor is made of, and apart from it the bytes of
the storages. See `unpickle` for what a pickle may do here: next to nothing.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from linconn_jax.interchange import unpickle
from linconn_jax.interchange.unpickle import Storage, Tensor

_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001


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


def _flatten(value: Any, name: str = "") -> dict[str, Tensor]:
    if isinstance(value, unpickle.Parameter):
        value = value.tensor
    if isinstance(value, Tensor):
        return {name: value}
    items = []
    if isinstance(value, dict):
        items = dict.items(value)
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    found: dict[str, Tensor] = {}
    for key, child in items:
        inside = _flatten(child, f"{name}.{key}" if name else str(key))
        if twice := found.keys() & inside.keys():
            raise ValueError(f"two tensors have the name {sorted(twice)[0]!r}")
        found |= inside
    return found
