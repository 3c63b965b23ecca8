"""Readers of the archives in which the standard sets are published.

Each gives `{"train": columns, "test": columns}` where `columns` maps the features of one
example (`image`, `label`, ...) to arrays over examples, in the archive's order. Contents
are checked before they come here (`archives`), so these readers only parse.
"""

import gzip
import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.io

Columns = dict[str, np.ndarray]

_IDX_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
_CIFAR = {
    "cifar10": {
        "archive": "cifar-10-binary.tar.gz",
        "folder": "cifar-10-batches-bin",
        "train": [f"data_batch_{i}.bin" for i in range(1, 6)],
        "test": ["test_batch.bin"],
        "labels": {"label": "batches.meta.txt"},
    },
    "cifar100": {
        "archive": "cifar-100-binary.tar.gz",
        "folder": "cifar-100-binary",
        "train": ["train.bin"],
        "test": ["test.bin"],
        "labels": {
            "coarse_label": "coarse_label_names.txt",
            "label": "fine_label_names.txt",
        },
    },
}
_CIFAR_IMAGE = (3, 32, 32)


def gunzipped(path: Path) -> bytes:
    """The content of a file, uncompressed if it is gzipped.

    Raises:
      ValueError: the gzip stream is damaged or cut short.
    """
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is damaged or cut short ({error}); fetch it again"
        ) from error


def parse_idx(data: bytes, where: str) -> np.ndarray:
    """The array in an IDX file of unsigned bytes (LeCun's MNIST format).

    Raises:
      ValueError: it is no such file, or its length is not what its header says.
    """
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(
            f"{where} starts with {data[:4].hex()}; an IDX file of unsigned bytes starts "
            "with 000008 and its number of axes"
        )
    axes = data[3]
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", data[4:start]) if len(data) >= start else ()
    if len(shape) != axes or len(data) - start != int(np.prod(shape)):
        raise ValueError(
            f"{where} holds {max(len(data) - start, 0)} bytes of data but its header "
            f"says shape {shape}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_idx_set(files: Mapping[str, Path]) -> dict[str, Columns]:
    """MNIST and its relatives from four IDX files, gzipped or raw.

    Args:
      files: path of each official file name (with `.gz`).
    """
    splits = {}
    for split, names in _IDX_FILES.items():
        images, labels = (
            parse_idx(gunzipped(files[name]), str(files[name])) for name in names
        )
        if len(images) != len(labels):
            raise ValueError(
                f"{files[names[0]]} holds {len(images)} images but {files[names[1]]} "
                f"{len(labels)} labels; both must come from one set"
            )
        splits[split] = {"image": images[..., None], "label": labels}
    return splits


def read_cifar(
    name: str, files: Mapping[str, Path]
) -> tuple[dict[str, Columns], dict[str, list[str]]]:
    """CIFAR-10 or CIFAR-100 from its binary archive.

    Args:
      name: "cifar10" or "cifar100".
      files: path of each official file name.

    Returns:
      The columns of each split, and the names of the classes of each label.
    """
    layout = _CIFAR[name]
    path = files[layout["archive"]]
    try:
        with tarfile.open(path) as tar:

            def member(file: str) -> bytes:
                return tar.extractfile(f"{layout['folder']}/{file}").read()

            splits = {
                split: _cifar_columns(
                    b"".join(map(member, layout[split])), list(layout["labels"]), path
                )
                for split in ("train", "test")
            }
            class_names = {
                key: list(filter(None, member(file).decode().split("\n")))
                for key, file in layout["labels"].items()
            }
    except (tarfile.TarError, KeyError, EOFError, zlib.error, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as {layout['archive']} ({error}); fetch it again"
        ) from error
    splits = {
        split: columns | {"id": _ids(f"{split}_{{:05d}}", columns)}
        for split, columns in splits.items()
    }
    return splits, class_names


def _cifar_columns(data: bytes, labels: list[str], path: Path) -> Columns:
    """Records of one byte per label and 3072 of a planar RGB image."""
    width = len(labels) + int(np.prod(_CIFAR_IMAGE))
    if len(data) % width:
        raise ValueError(
            f"the batches in {path} hold {len(data)} bytes, not a multiple of the "
            f"{width} bytes of a record; fetch it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, width)
    planes = records[:, len(labels) :].reshape(-1, *_CIFAR_IMAGE)
    columns = {key: records[:, i] for i, key in enumerate(labels)}
    return columns | {"image": planes.transpose(0, 2, 3, 1)}


def read_svhn(files: Mapping[str, Path]) -> dict[str, Columns]:
    """SVHN's cropped digits from `train_32x32.mat` and `test_32x32.mat`.

    The published label of the digit 0 is 10; here it is 0, as in tfds.
    """
    splits = {}
    for split in ("train", "test"):
        path = files[f"{split}_32x32.mat"]
        try:
            content = scipy.io.loadmat(path)
            images, labels = content["X"], content["y"].reshape(-1)
        except (ValueError, KeyError, OSError, TypeError, zlib.error) as error:
            raise ValueError(
                f"{path} cannot be read as an SVHN file ({error}); fetch it again"
            ) from error
        columns = {"image": np.moveaxis(images, -1, 0), "label": labels % 10}
        splits[split] = columns | {"id": _ids(f"{split}_{{:06d}}", columns)}
    return splits


def _ids(pattern: str, columns: Columns) -> np.ndarray:
    return np.asarray([pattern.format(i) for i in range(len(columns["label"]))])
