"""Sets in tfds's own layout on disk: finding, building and locking them.

A prepared set is the folder `DATA_DIR/name/version` with `dataset_info.json`.
"""

import contextlib
import io
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import absl.logging
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import tqdm_utils

_STALE_SECONDS = 3600


def data_folders(data_dir: str | os.PathLike | None) -> list[Path]:
    """Folders in which prepared sets are looked for; the first is also written to.

    `data_dir`, else `$TFDS_DATA_DIR`, else `$XDG_CACHE_HOME/linconn_jax/data` (by default
    `~/.cache/linconn_jax/data`); then `$TFDS_DATA_DIR` and `~/tensorflow_datasets`.
    """
    environment = os.environ.get("TFDS_DATA_DIR")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    first = data_dir or environment or os.path.join(cache, "linconn_jax", "data")
    found = [first, environment, "~/tensorflow_datasets"]
    return list(dict.fromkeys(Path(d).expanduser().absolute() for d in found if d))


def find(name: str, folders: list[Path]) -> Path | None:
    """The newest version of a prepared set in the first folder that has one."""
    for folder in folders:
        versions = [
            path.parent
            for path in folder.glob(f"{name}/*/dataset_info.json")
            if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name)
        ]
        if versions:
            return max(versions, key=lambda p: tuple(map(int, p.name.split("."))))
    return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps tfds's bars, prints and advice about TensorFlow and OpenCV to itself."""
    verbosity, bars = absl.logging.get_verbosity(), tqdm_utils._active
    absl.logging.set_verbosity(absl.logging.ERROR)
    tfds.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.logging.set_verbosity(verbosity)
        tfds.display_progress_bar(bars)


@contextlib.contextmanager
def locked(data_dir: Path, name: str) -> Iterator[None]:
    """Lets one process at a time prepare a set; the system frees it at any death.

    Raises:
      ValueError: `data_dir` cannot be written to.
    """
    path = data_dir / f".{name.replace('/', '-')}.lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise ValueError(
            f"data_dir {data_dir} cannot be written to ({error.strerror}) and does not "
            f"hold {name!r}; give data_dir=... (or TFDS_DATA_DIR) a folder that can"
        ) from error
    with open(path) as lock:
        try:
            import fcntl
        except ImportError:  # Windows: renaming alone keeps the set whole
            yield
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(builder: tfds.core.DatasetBuilder) -> Path:
    """Prepares a builder's set: whole in its place, or not at all.

    tfds writes into `incomplete.*` beside the place and renames at the end. What a killed
    preparation left is removed.
    """
    remove_stale(builder.data_path.parent.glob("incomplete.*"))
    with quiet():
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    return Path(builder.data_path)


def remove_stale(paths: Iterable[os.PathLike]) -> None:
    """Removes files and folders that nobody has written to for an hour."""
    for path in map(Path, paths):
        if time.time() - path.stat().st_mtime < _STALE_SECONDS:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
