"""Finding, preparing and reading a data set by name."""

import dataclasses
import difflib
import os
import re
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from linconn_jax.data import archives, cache, composite, digits, prepared, standard
from linconn_jax.data.dataset import (
    Dataset,
    channel_statistics,
    content_digest,
    make_split,
)

_STATISTICS = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "kmnist": ((0.1918,), (0.3483,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn_cropped": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}


@dataclasses.dataclass(frozen=True)
class _Request:
    """The arguments of `load`, checked."""

    name: str
    folder: Path | None
    folders: list[Path]
    examples: dict[str, int | None]
    silent: bool


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
      mock: give so many random images in each split instead of the set, for trying code.
      silent: show no progress.

    Returns:
      The data set. `mean` and `std` are those of the whole training split for the sets
      listed by name, and of the images given for others.

    Raises:
      ValueError: the name is unknown, the folder wrong, an archive damaged, or there are
        fewer examples than asked for.
      FileNotFoundError: no copy was found and no network reached.
    """
    _check(name, folder, mock)
    request = _Request(
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
    return _from_disk(request, _prepared_path(request))


def known_names() -> list[str]:
    """Names that `load` accepts without a prepared copy, then tfds's own."""
    first = ["digits", composite.NAME, *standard.NAMES]
    others = tfds.list_builders(with_community_datasets=False)
    return first + [name for name in others if name not in first]


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
    if mock is not None and mock < 1:
        raise ValueError(f"mock is {mock}; it must be at least 1 example, or None")


def _prepared_path(request: _Request) -> Path:
    """Folder of the prepared set, which is prepared now if it is not there yet."""
    name, data_dir = request.name, request.folders[0]
    found = prepared.find(name, request.folders)
    if found is not None:
        return found
    if name != "digits" and name not in standard.NAMES:
        raise _not_preparable(request)
    with prepared.locked(data_dir, name):
        found = prepared.find(name, request.folders)  # by another process meanwhile
        if found is not None:
            return found
        if name == "digits":
            return prepared.build(digits.Digits(data_dir=data_dir))
        files = _archives(request)
        return standard.prepare(name, files, data_dir, silent=request.silent)


def _archives(request: _Request) -> dict[str, Path]:
    """Checked archives of a standard set: the user's, the system's, the network's."""
    name = request.name
    if request.folder is not None:
        return archives.from_folder(request.folder, name)
    found = archives.from_system(name)
    if found is not None:
        return found
    try:
        return archives.from_network(
            name, request.folders[0] / "downloads", silent=request.silent
        )
    except ConnectionError as error:
        wanted = ", ".join(a.file for a in archives.official(name))
        raise FileNotFoundError(
            f"no copy of the data set {name!r} was found and it cannot be downloaded "
            f"({error}). Looked for a prepared set in "
            f"{', '.join(str(d / name) for d in request.folders)}. Three ways on: "
            f"(1) put the official archives ({wanted}) in a folder and give folder=...; "
            f"(2) copy a set prepared by tfds elsewhere to {request.folders[0] / name}; "
            "(3) connect to the network and run again. 'digits' needs none of these."
        ) from error


def _not_preparable(request: _Request) -> Exception:
    name = request.name
    looked = ", ".join(str(folder / name) for folder in request.folders)
    others = {
        path.parent.parent.relative_to(folder).as_posix()
        for folder in request.folders
        for path in folder.glob(f"{name}/*/*/dataset_info.json")
    }
    if others:
        return ValueError(
            f"the data set {name!r} has configurations; name one of those prepared: "
            f"{', '.join(sorted(others))}"
        )
    if name.split("/")[0] in known_names():
        return FileNotFoundError(
            f"the data set {name!r} is known to tfds but not prepared (looked in "
            f"{looked}), and preparing it needs TensorFlow: where that is installed run "
            f"'tfds build {name} --file_format=array_record' and copy the folder to "
            f"{request.folders[0] / name}"
        )
    close = difflib.get_close_matches(name, known_names(), n=3)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    return ValueError(
        f"unknown data set {name!r}{hint} Known without a copy: 'digits', "
        f"{', '.join(map(repr, (*standard.NAMES, composite.NAME)))}; any other set must "
        f"be prepared in tfds's layout (looked in {looked})"
    )


def _from_disk(request: _Request, path: Path) -> Dataset:
    builder = prepared.open_set(path)
    splits = prepared.split_names(builder.info)
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
    label_key = prepared.example_keys(builder.info)[1]
    note = f"{builder.info.full_name}"
    if splits["test"] != "test":
        note += f"; its {splits['test']} split is the test split here"
    return _dataset(
        request.name, arrays, builder.info.features[label_key].num_classes, note
    )


def _fashion_photos(request: _Request) -> Dataset:
    images = composite.photos()
    garments = _from_disk(request, _prepared_path(_as(request, "fashion_mnist")))
    arrays = {
        split: (
            composite.compose(examples.images, split, images),
            examples.labels,
        )
        for split, examples in (("train", garments.train), ("test", garments.test))
    }
    return _dataset(request.name, arrays, garments.classes, composite.NOTE)


def _mocked(request: _Request, mock: int) -> Dataset:
    """Random images through tfds's own mock: train and test get different ones."""
    like = "cifar10" if request.name == composite.NAME else request.name
    if like != "digits" and like.split("/")[0] not in known_names():
        raise _not_preparable(request)
    with prepared.quiet(), tfds.testing.mock_data(num_examples=2 * mock):
        builder = (
            digits.Digits(data_dir=request.folders[0])
            if like == "digits"
            else tfds.builder(like)
        )
        image_key, label_key = prepared.example_keys(builder.info)
        source = builder.as_data_source("train")
        rows = [source[i] for i in range(2 * mock)]
    images = np.stack([row[image_key] for row in rows])
    labels = np.asarray([row[label_key] for row in rows])
    arrays = {}
    for split, part in (("train", slice(mock)), ("test", slice(mock, None))):
        wanted = prepared.wanted_examples(
            f"mocked {request.name}", split, mock, request.examples[split]
        )
        arrays[split] = images[part][:wanted], labels[part][:wanted]
    note = f"MOCK: random images of the shape of {request.name}, made by tfds"
    classes = builder.info.features[label_key].num_classes
    return _dataset(request.name, arrays, classes, note)


def _as(request: _Request, name: str) -> _Request:
    return dataclasses.replace(request, name=name)


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
