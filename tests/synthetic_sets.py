"""Tiny archives in the formats of the official ones, for the tests of `data`."""

import gzip
import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import scipy.io

from linconn_jax.data import archives, formats

TRAIN, TEST = 40, 20
IDX_URL = "http://127.0.0.1:9/mnist/"  # nothing listens on the discard port


def arrays(shape, classes=10, seed=0):
    rng = np.random.default_rng(seed)
    return {
        split: (
            rng.integers(0, 256, (n, *shape), np.uint8),
            (np.arange(n) % classes).astype(np.uint8),
        )
        for split, n in (("train", TRAIN), ("test", TEST))
    }


def idx_bytes(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def write_mnist(folder: Path, *, seed=0, compressed=True):
    """Four IDX files; returns their splits and the `Archive`s that describe them."""
    folder.mkdir(parents=True, exist_ok=True)
    splits, described = arrays((28, 28), seed=seed), []
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for array, kind in zip(
            splits[split], ("images-idx3-ubyte", "labels-idx1-ubyte"), strict=True
        ):
            raw = idx_bytes(array)
            data = gzip.compress(raw, mtime=0)
            name = f"{prefix}-{kind}"
            file = folder / (f"{name}.gz" if compressed else name)
            file.write_bytes(data if compressed else raw)
            described.append(
                archives.Archive(
                    f"{IDX_URL}{name}.gz",
                    len(data),
                    hashlib.sha256(data).hexdigest(),
                    hashlib.md5(raw).hexdigest(),
                )
            )
    return splits, tuple(described)


def described(path: Path, url: str) -> archives.Archive:
    data = path.read_bytes()
    return archives.Archive(url, len(data), hashlib.sha256(data).hexdigest())


def write_cifar(folder: Path, name: str):
    folder.mkdir(parents=True, exist_ok=True)
    layout = formats._CIFAR[name]
    keys = list(layout["labels"])
    counts = {"label": 100 if name == "cifar100" else 10, "coarse_label": 20}
    splits, files = arrays((32, 32, 3), classes=counts["label"]), {}
    for split in ("train", "test"):
        images, labels = splits[split]
        columns = {"label": labels, "coarse_label": labels % 20}
        rows = np.concatenate(
            [np.stack([columns[k] for k in keys], 1)]
            + [images.transpose(0, 3, 1, 2).reshape(len(images), -1)],
            axis=1,
        )
        parts = np.array_split(rows, len(layout[split]))
        files |= {f: p.tobytes() for f, p in zip(layout[split], parts, strict=True)}
    for key, file in layout["labels"].items():
        names = [f"{key}_{i}" for i in range(counts[key])]
        files[file] = ("\n".join(names) + "\n\n").encode()
    path = folder / layout["archive"]
    with tarfile.open(path, "w:gz") as tar:
        for file, data in files.items():
            info = tarfile.TarInfo(f"{layout['folder']}/{file}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return splits, (described(path, f"http://127.0.0.1:9/{path.name}"),)


def write_svhn(folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    splits, found = arrays((32, 32, 3)), []
    for split, (images, labels) in splits.items():
        path = folder / f"{split}_32x32.mat"
        stored = np.where(labels == 0, 10, labels).astype(np.uint8)
        scipy.io.savemat(path, {"X": np.moveaxis(images, 0, -1), "y": stored[:, None]})
        found.append(described(path, f"http://127.0.0.1:9/{path.name}"))
    return splits, tuple(found)


def write(name: str, folder: Path):
    """Writes the archives of a standard set; returns its splits and archives."""
    if name in ("cifar10", "cifar100"):
        return write_cifar(folder, name)
    return write_svhn(folder) if name == "svhn_cropped" else write_mnist(folder)


def sorted_rows(images, labels):
    """Examples as a sorted list, to compare sets whose order differs."""
    return sorted(
        (image.tobytes(), int(label))
        for image, label in zip(images, labels, strict=True)
    )
