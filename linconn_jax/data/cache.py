"""Decoded splits kept as arrays, so that PNGs are decoded once and not at every start."""

import contextlib
import hashlib
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from linconn_jax.data import prepared, reading

_WORTH_KEEPING = 5000


def read(
    builder: tfds.core.DatasetBuilder,
    split: str,
    examples: int | None,
    *,
    folder: Path,
    silent: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """`reading.read`, through a decoded copy in `folder/.decoded` where there is one.

    The copy belongs to record files of given names, sizes and times of change, and zip's
    CRC-32 covers its bytes: a copy that does not fit or is damaged is made again. It is
    written when a large split is read whole; a folder that cannot be written to costs
    only time.
    """
    held = builder.info.splits[split].num_examples
    info = builder.info.full_name
    wanted = reading.wanted_examples(info, split, held, examples)
    path = folder / ".decoded" / info.replace("/", "-") / f"{split}.npz"
    stamp = _stamp(builder, split)
    found = _load(path, stamp)
    if found is None:
        found = reading.read(builder, split, wanted, silent=silent)
        if wanted == held >= _WORTH_KEEPING:
            _save(path, stamp, *found)
    images, labels = found
    return images[:wanted], labels[:wanted]


def _stamp(builder: tfds.core.DatasetBuilder, split: str) -> str:
    """What the decoded copy was made from."""
    digest = hashlib.sha256()
    for file in map(Path, builder.info.splits[split].filepaths):
        state = file.stat()
        digest.update(f"{file} {state.st_size} {state.st_mtime_ns};".encode())
    return digest.hexdigest()


def _load(path: Path, stamp: str) -> tuple[np.ndarray, np.ndarray] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path) as content:
            if str(content["stamp"]) != stamp:
                return None
            return content["images"], content["labels"]
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError):
        return None


def _save(path: Path, stamp: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes the copy under another name, then renames it to its own."""
    with contextlib.suppress(OSError):  # read-only or full: the copy is a convenience
        path.parent.mkdir(parents=True, exist_ok=True)
        prepared.remove_stale(path.parent.glob("*.partial"))
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, stamp=stamp, images=images, labels=labels)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
