"""Finding, preparing and reading a data set by name."""

import dataclasses
import math
import os
import re
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from linconn_jax import checks, machine
from linconn_jax.data import (
    cache,
    composite,
    digits,
    obtain,
    prepared,
    reading,
    standard,
)
from linconn_jax.data.dataset import (
    Dataset,
    channel_statistics,
    content_digest,
    make_split,
)
from linconn_jax.data.obtain import Request

_STATISTICS = {
    "digits": ((0.3058,), (0.3761,)),
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "kmnist": ((0.1918,), (0.3483,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn_cropped": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    composite.NAME: ((0.4824, 0.4053, 0.3727), (0.2979, 0.2612, 0.2689)),
}

MOST_MOCKED = 1_000_000
"""Random images are made one by one."""
_BYTES_OF_A_ROW = 400
_FROM_ARCHIVES = (*standard.NAMES, composite.NAME)


def load(
    name: str,
    *,
    folder: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    train_examples: int | None = None,
    test_examples: int | None = None,
    mock: int | None = None,
    silent: bool = False,
) -> Dataset:
    """A data set as whole arrays, prepared first if need be.

    Looks for a set already prepared (by this library or by tfds, in `data_dir`,
    `$TFDS_DATA_DIR` or `~/tensorflow_datasets`); then for official archives in `folder`;
    then in the operating system's packages; then downloads them. Prepared sets are
    written to the first of `prepared.data_folders(data_dir)`.

    Args:
      name: `digits` (embedded), `mnist`, `fashion_mnist`, `kmnist`, `cifar10`,
        `cifar100`, `svhn_cropped`, `fashion_photos` (composited), or any prepared
        image-classification set of tfds, such as `cifar10_corrupted/fog_3`.
      folder: your own copy of the official archives.
      data_dir: where prepared sets are kept, in tfds's layout.
      train_examples: keep the first so many of the training split.
      test_examples: keep the first so many of the test split.
      mock: give so many random images in each split (at most a million) instead of the
        set, for trying code.
      silent: show no progress.

    Returns:
      The data set. `mean` and `std` are those of the whole training split for the sets
      listed by name, and of the images given for others.

    Raises:
      ValueError: the name is unknown, the folder wrong or of no use, an archive damaged,
        or there are fewer examples than asked for.
      FileNotFoundError: no copy was found and no network reached.
    """
    _check(name, folder, mock)
    request = Request(
        name,
        None if folder is None else Path(folder).expanduser(),
        prepared.data_folders(data_dir),
        {"train": train_examples, "test": test_examples},
        silent,
    )
    if mock is not None:
        return _mocked(request, mock)
    if name == composite.NAME:
        return _fashion_photos(request)
    return _from_disk(request, obtain.prepared_path(request))


def _check(name: str, folder: str | os.PathLike | None, mock: int | None) -> None:
    if not re.fullmatch(r"\w+(/\w[\w.-]*)*", name):
        raise ValueError(
            f"the data set's name is {name!r}; it must be like 'cifar10' or "
            "'cifar10_corrupted/fog_3'"
        )
    if folder is not None and not Path(folder).expanduser().is_dir():
        raise ValueError(
            f"folder is {str(folder)!r}, which is no folder; give the one that holds the "
            f"official archives of {name!r}, or leave folder out"
        )
    checks.check("mock", mock, checks.optional(checks.whole(1, MOST_MOCKED)))
    if folder is not None and (mock is not None or name not in _FROM_ARCHIVES):
        what = f"{mock} random images are" if mock is not None else f"{name!r} is"
        raise ValueError(
            f"folder={str(folder)!r} has no effect, as {what} not read from archives; "
            f"leave it out (it is for {', '.join(_FROM_ARCHIVES)})"
        )


def _from_disk(request: Request, path: Path) -> Dataset:
    builder = reading.open_set(path)
    splits = reading.split_names(builder.info)
    arrays = {
        split: cache.read(
            builder,
            stored,
            request.examples[split],
            folder=request.folders[0],
            silent=request.silent,
        )
        for split, stored in splits.items()
    }
    label_key = reading.example_keys(builder.info)[1]
    note = f"{builder.info.full_name}"
    if splits["test"] != "test":
        note += f"; its {splits['test']} split is the test split here"
    return _dataset(
        request.name, arrays, builder.info.features[label_key].num_classes, note
    )


def _fashion_photos(request: Request) -> Dataset:
    images = composite.photos()
    plain = dataclasses.replace(request, name="fashion_mnist")
    garments = _from_disk(plain, obtain.prepared_path(plain))
    arrays = {
        split: (composite.compose(part.images, split, images), part.labels)
        for split, part in (("train", garments.train), ("test", garments.test))
    }
    return _dataset(request.name, arrays, garments.classes, composite.NOTE)


def _mocked(request: Request, mock: int) -> Dataset:
    """Random images through tfds's own mock: train and test get different ones."""
    like = "cifar10" if request.name == composite.NAME else request.name
    if like != "digits" and like.split("/")[0] not in obtain.known_names():
        raise obtain.not_preparable(request)
    with prepared.quiet(), tfds.testing.mock_data(num_examples=2 * mock):
        builder = _describe(like, request.folders[0])
        image_key, label_key = reading.example_keys(builder.info)
        source = builder.as_data_source("train")
        _refuse_large(mock, builder.info.features[image_key].shape)
        rows = [source[i] for i in range(2 * mock)]
    images = np.stack([row[image_key] for row in rows])
    labels = np.asarray([row[label_key] for row in rows])
    arrays = {}
    for split, part in (("train", slice(mock)), ("test", slice(mock, None))):
        wanted = reading.wanted_examples(
            f"mocked {request.name}", split, mock, request.examples[split]
        )
        arrays[split] = images[part][:wanted], labels[part][:wanted]
    note = f"MOCK: random images of the shape of {request.name}, made by tfds"
    classes = builder.info.features[label_key].num_classes
    return _dataset(request.name, arrays, classes, note)


def _refuse_large(mock: int, shape: tuple[int | None, ...]) -> None:
    needed = 2 * mock * (2 * math.prod(n or 1 for n in shape) + _BYTES_OF_A_ROW)
    if needed > machine.host_memory():
        raise ValueError(
            f"mock={mock} random images of shape {shape} in each split take about "
            f"{machine.size(needed)}, and this machine has "
            f"{machine.size(machine.host_memory())} of memory; ask for fewer"
        )


def _describe(name: str, data_dir: Path) -> tfds.core.DatasetBuilder:
    if name == "digits":
        return digits.Digits(data_dir=data_dir)
    try:
        return tfds.builder(name)
    except ImportError as error:
        raise ValueError(
            f"tfds cannot describe the data set {name!r} without TensorFlow ({error}), "
            "so that it cannot be mocked; mock one like it, such as 'cifar10'"
        ) from error


def _dataset(
    name: str,
    arrays: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: int,
    note: str,
) -> Dataset:
    train, test = (make_split(*arrays[split]) for split in ("train", "test"))
    mean, std = _STATISTICS.get(name) or channel_statistics(train.images)
    digest = content_digest(train, test)
    return Dataset(name, train, test, classes, mean, std, digest, note)
