"""The official archives of the standard sets: where to get them, how to check them."""

import dataclasses
import hashlib
import re
from pathlib import Path
from urllib.parse import urlparse

import tensorflow_datasets as tfds

from linconn_jax.data import download, formats

_IDX = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_MD5 = {
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "fashion_mnist": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}
_FILES = {
    "mnist": _IDX,
    "fashion_mnist": _IDX,
    "kmnist": _IDX,
    "cifar10": ("cifar-10-binary.tar.gz",),
    "cifar100": ("cifar-100-binary.tar.gz",),
    "svhn_cropped": ("train_32x32.mat", "test_32x32.mat"),
}
SYSTEM = Path("/usr/share/datasets")
"""Where Debian's packages of data sets put the official files."""


@dataclasses.dataclass(frozen=True)
class Archive:
    """One published file.

    Attributes:
      url: where it is published; ends in its file name.
      size: its bytes.
      sha256: digest of the file as published.
      md5: digest of its content once uncompressed, where known; then files that were
        compressed anew, or not at all, are as good.
    """

    url: str
    size: int
    sha256: str
    md5: str | None = None

    @property
    def file(self) -> str:
        """Its file name."""
        return Path(urlparse(self.url).path).name

    def accepted_files(self) -> list[str]:
        """File names under which a user's copy is looked for."""
        if self.md5 is None:
            return [self.file]
        raw = self.file.removesuffix(".gz")
        return [self.file, raw, re.sub(r"-(idx\d)", r".\1", raw)]


def official(name: str) -> tuple[Archive, ...]:
    """The archives of a standard set, with the sizes and digests that tfds records."""
    files = _FILES[name]
    md5 = dict(zip(files, _MD5.get(name, ()), strict=False))
    known = {Path(u).name: (u, i) for u, i in tfds.builder_cls(name).url_infos.items()}
    return tuple(
        Archive(known[f][0], int(known[f][1].size), known[f][1].checksum, md5.get(f))
        for f in files
    )


def problem(path: Path, archive: Archive) -> str | None:
    """What is wrong with a copy of an archive, or None when it is the official one.

    Returns:
      A sentence about `path`, which exists.
    """
    if archive.md5 is None:
        return download.problem(path, archive.size, archive.sha256)
    try:
        content = formats.gunzipped(path)
    except ValueError as error:
        return str(error)
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != archive.md5:
        return (
            f"{path} is not the official {archive.file}: its uncompressed content has "
            f"MD5 {found}, it must be {archive.md5}"
        )
    return None


def find_in(folder: Path, name: str, archive: Archive) -> Path | None:
    """A file that should be the archive, in `folder/name` or `folder`."""
    return next(
        (
            place / file
            for place in (folder / name, folder / name.replace("_", "-"), folder)
            for file in archive.accepted_files()
            if (place / file).is_file()
        ),
        None,
    )


def from_folder(folder: Path, name: str) -> dict[str, Path]:
    """The user's own copy of a standard set.

    Returns:
      A checked path for each official file name.

    Raises:
      ValueError: a file is missing, damaged, or not the official one.
    """
    paths = {}
    for archive in official(name):
        path = find_in(folder, name, archive)
        if path is None:
            present = sorted(p.name for p in folder.iterdir())
            shown = ", ".join(present[:8]) + (", ..." if len(present) > 8 else "")
            raise ValueError(
                f"folder {folder} lacks {' or '.join(archive.accepted_files())} of "
                f"{name} (it holds: {shown or 'nothing'}); the official file is "
                f"{archive.url}; without folder=... it is downloaded"
            )
        wrong = problem(path, archive)
        if wrong:
            raise ValueError(f"{wrong}; the official file is {archive.url}")
        paths[archive.file] = path
    return paths


def from_system(name: str) -> dict[str, Path] | None:
    """The operating system's copy of a standard set, if it has a whole good one."""
    paths = {}
    for archive in official(name):
        path = find_in(SYSTEM / name.replace("_", "-"), name, archive)
        if path is None or problem(path, archive):
            return None
        paths[archive.file] = path
    return paths


def from_network(
    name: str,
    downloads: Path,
    *,
    silent: bool = False,
) -> dict[str, Path]:
    """Downloads what is not in `downloads` yet.

    Raises:
      ConnectionError: a server cannot be reached, or keeps breaking off.
      ValueError: what came is not the official file.
    """
    paths = {}
    for archive in official(name):
        path = downloads / name / archive.file
        if not path.is_file() or download.problem(path, archive.size, archive.sha256):
            download.download(
                archive.url,
                path,
                size=archive.size,
                sha256=archive.sha256,
                silent=silent,
            )
        paths[archive.file] = path
    return paths
