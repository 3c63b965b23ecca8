"""Files of named arrays: safetensors both ways, files of `torch.save` to read."""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from linconn_jax.files import write_atomically
from linconn_jax.interchange import named, pth
from linconn_jax.typing import PyTree

SAFETENSORS = (".safetensors",)
TORCH = (".pth", ".pt", ".bin", ".ckpt", ".tar")
"""Suffixes of files of `torch.save` ("checkpoint.pth.tar" among them)."""

_METADATA = "__metadata__"
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
    "C64": np.complex64,
}
_WRITABLE = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}


def load(path: str | os.PathLike, *, under: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a `.safetensors` file or of a file of `torch.save`, by name.

    The latter (`.pth`, `.pt`, `.bin`, `.ckpt`, `.tar`; the zip format and the older one)
    is read without torch and without running the code that a pickle can hold. Names of
    nested dicts are joined with "."; whatever is not a tensor is left out. dtypes stay
    as they are, bfloat16 too (`ml_dtypes.bfloat16`, JAX's own).

    Args:
      path: the file.
      under: keep only what is inside this name, and drop the name: "state_dict" for
        `{"state_dict": ..., "epoch": 3}`, "module" for what `DataParallel` prefixes.

    Returns:
      `{name: array}`. Tensors of a `.pth` file that share memory are views on one array.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another suffix, a damaged file, a pickle of something else than
        tensors, nothing in it, or nothing under `under`.
    """
    path = Path(path)
    if path.suffix in SAFETENSORS:
        arrays = _load_safetensors(path)
    elif path.suffix in TORCH:
        arrays = pth.read(path)
    else:
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; it must be one of "
            f"{list(SAFETENSORS + TORCH)}, which says what format it has"
        )
    if not arrays:
        raise ValueError(f"{path} holds no tensors")
    return arrays if under is None else _inside(path, arrays, under)


def metadata(path: str | os.PathLike) -> dict[str, str]:
    """What `save` was given as `metadata`; `{}` if nothing.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not a safetensors file.
    """
    with _readable(Path(path)), safetensors.safe_open(path, framework="np") as file:
        return file.metadata() or {}


def save(
    path: str | os.PathLike, tree: PyTree, *, metadata: Mapping | None = None
) -> None:
    """Writes all leaves of a tree to a safetensors file: the whole file, or none.

    A leaf is named by its path, joined with "/": "params/conv_1/kernel". A flat dict
    keeps its names, so a `state_dict` can be saved as well. `named.restore` gives the
    tree back.

    Args:
      path: ends in ".safetensors"; an existing file is replaced, folders are made.
      tree: any pytree of arrays (JAX or NumPy, scalars too), gathered from its devices.
      metadata: strings by name, kept in the file.

    Raises:
      ValueError: another suffix, a leaf that the format cannot hold, two leaves of one
        name, or metadata that are not strings.
      OSError: it could not be written; what was there before is intact.
    """
    path = Path(path)
    if path.suffix not in SAFETENSORS:
        raise ValueError(f"{path} must end in .safetensors, the format that is written")
    metadata = dict(metadata or {})
    if not all(isinstance(x, str) for pair in metadata.items() for x in pair):
        raise ValueError(
            f"metadata={metadata!r} must be strings by name: use json.dumps"
        )
    arrays = {name: _plain(name, leaf) for name, leaf in named.leaves(tree).items()}
    if _METADATA in arrays:
        raise ValueError(
            f"a leaf is named {_METADATA!r}, where the format keeps metadata"
        )
    write_atomically(path, safetensors.numpy.save(arrays, metadata or None))


def _load_safetensors(path: Path) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    with _readable(path):
        tensors = dict(safetensors.deserialize(content))
    _check_header(path, content)
    for name, tensor in tensors.items():
        if tensor["dtype"] not in _DTYPES:
            raise ValueError(f"{name!r} in {path} has dtype {tensor['dtype']}, unknown")
    return {
        name: np.frombuffer(x["data"], _DTYPES[x["dtype"]]).reshape(x["shape"])
        for name, x in sorted(tensors.items())
    }


def _check_header(path: Path, content: bytes) -> None:
    """Refuses one name for two tensors, of which the library takes the last."""
    size = int.from_bytes(content[:8], "little")
    pairs = json.loads(content[8 : 8 + size], object_pairs_hook=list)
    counts = Counter(name for name, _ in pairs)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise ValueError(f"{path} is damaged: its header has {twice} more than once")


@contextlib.contextmanager
def _readable(path: Path):
    try:
        yield
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} cannot be read as safetensors: it is truncated, damaged or of "
            f"another format ({error})"
        ) from error


def _plain(name: str, leaf: PyTree) -> np.ndarray:
    """The leaf on the host, contiguous (else the format would scramble it)."""
    if isinstance(leaf, np.ma.MaskedArray):
        raise ValueError(
            f"leaf {name!r} is a NumPy masked array, whose mask would be lost; save "
            "leaf.filled(value), and np.ma.getmaskarray(leaf) under a name of its own"
        )
    try:
        array = np.asarray(leaf, order="C")
    except TypeError as error:  # a typed key, say
        raise ValueError(f"leaf {name!r} is no array: {error}") from error
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in _WRITABLE:
        raise ValueError(
            f"leaf {name!r} has dtype {array.dtype}, which safetensors cannot hold; it "
            f"must be one of {sorted(map(str, _WRITABLE))}"
        )
    return array


def _inside(
    path: Path, arrays: dict[str, np.ndarray], under: str
) -> dict[str, np.ndarray]:
    start = under + "."
    found = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
    if not found:
        first = sorted({name.split(".")[0] for name in arrays})
        raise ValueError(
            f"{path} has nothing under {under!r}; names begin with {first}"
        )
    return found
