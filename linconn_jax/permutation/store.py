"""Permutations on disk: one `.npz` file with a JSON header."""

import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from linconn_jax.files import write_atomically
from linconn_jax.permutation.element import (
    Permutation,
    check_permutation,
    check_rearrangement,
)

FORMAT = "linconn_jax permutation 1"
DAMAGE = (
    *(ValueError, KeyError, TypeError, EOFError),  # what a header or an array raises
    *(zipfile.BadZipFile, zlib.error, RuntimeError),  # what the archive raises
)


def save(path: str | os.PathLike, permutation: Permutation, /, **about: Any) -> None:
    """Writes a permutation and whatever JSON can say `about` it.

    A whole file or none is written. The folder is made if need be.

    Raises:
      ValueError: `permutation` is a plain dict, an index array is no rearrangement, or
        JSON cannot say what it is given.
    """
    check_permutation(permutation)
    for name, index in permutation.items():
        check_rearrangement(name, np.asarray(index))
    header = {"format": FORMAT, "names": list(permutation)}
    header |= {"nesting": permutation.nesting, "about": about}
    try:
        text = json.dumps(header)
    except TypeError as error:
        raise ValueError(
            f"what is saved about a permutation must be JSON (numbers, texts, lists): "
            f"{error}; write arrays as lists and NumPy numbers as float(x)"
        ) from error
    buffer = io.BytesIO()
    arrays = [np.asarray(index, np.int32) for index in permutation.values()]
    np.savez(buffer, *arrays, header=text)
    write_atomically(Path(path), buffer.getvalue())


def load(path: str | os.PathLike) -> Permutation:
    """Reads what `save` wrote, with index arrays on the host.

    Raises:
      ValueError: the file is damaged, or no permutation, or a folder.
      FileNotFoundError: there is none.
    """
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; give the file that was saved")
    content = Path(path).read_bytes()
    try:
        return _parsed(content)
    except DAMAGE as error:
        raise ValueError(
            f"{path} is damaged or holds no permutation ({error}); delete it and find "
            "the permutation again"
        ) from error


def _parsed(content: bytes) -> Permutation:
    with np.load(io.BytesIO(content)) as stored:
        header = json.loads(str(stored["header"]))
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']!r}, not {FORMAT!r}")
        arrays = {
            name: stored[f"arr_{i}"].astype(int)
            for i, name in enumerate(header["names"])
        }
    for name, index in arrays.items():
        check_rearrangement(name, index)
    nesting = tuple((name, tuple(above)) for name, above in header["nesting"])
    return Permutation(arrays, nesting)
