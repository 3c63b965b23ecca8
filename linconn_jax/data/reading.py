"""Prepared sets into arrays, without TensorFlow.

tfds reads `array_record` files without TensorFlow; `tfrecord` files, which it writes by
default where TensorFlow is installed, are read by `tfrecord.py`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf import json_format, message

from linconn_jax import progress
from linconn_jax.data import prepared, tfrecord

_UNREADABLE = (RuntimeError, OSError, json_format.ParseError, message.DecodeError)
_CHUNK = 1000
_WORTH_A_BAR = 5000


def open_set(path: Path) -> tfds.core.DatasetBuilder:
    """The builder of a prepared set.

    Raises:
      ValueError: its description cannot be read.
    """
    try:
        with prepared.quiet():
            return tfds.builder_from_directory(path)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _damaged(path: os.PathLike, error: Exception) -> ValueError:
    return ValueError(
        f"the prepared set {path} is damaged or incomplete ({error}); remove that folder "
        "and run again, or copy it again"
    )


def example_keys(info: tfds.core.DatasetInfo) -> tuple[str, str]:
    """Names of the image and label features of a set.

    Raises:
      ValueError: the set is not one of uint8 images with one class each.
    """
    features = info.features
    keys = info.supervised_keys or ("image", "label")
    if len(keys) == 2 and all(isinstance(k, str) and k in features for k in keys):
        image, label = (features[key] for key in keys)
        good_image = len(image.shape or ()) == 3 and image.np_dtype == np.uint8
        if good_image and isinstance(label, tfds.features.ClassLabel):
            return keys
    raise ValueError(
        f"{info.full_name} is no image-classification set: it must have uint8 images "
        f"[height, width, channels] and a ClassLabel, but its features are {features}"
    )


def read(
    builder: tfds.core.DatasetBuilder,
    split: str,
    examples: int | None,
    *,
    silent: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The first `examples` of a split (None for all) in the set's own order.

    Returns:
      uint8 images [n, h, w, c] and int32 labels [n].

    Raises:
      ValueError: the split has fewer examples, or its images differ in shape.
    """
    held = builder.info.splits[split].num_examples
    wanted = wanted_examples(builder.info.full_name, split, held, examples)
    bar = progress.task(
        f"reading {builder.info.name} {split}",
        wanted,
        unit="images",
        quiet=silent or wanted < _WORTH_A_BAR,
    )
    try:
        with prepared.quiet(), bar as task:
            return _arrays(builder, split, wanted, task)
    except _UNREADABLE as error:
        raise _damaged(builder.data_path, error) from error


def _arrays(
    builder: tfds.core.DatasetBuilder, split: str, wanted: int, task: progress.Task
) -> tuple[np.ndarray, np.ndarray]:
    image_key, label_key = example_keys(builder.info)
    images, labels, count = None, np.empty(wanted, np.int32), 0
    for image, label in (
        (row[image_key], row[label_key]) for row in _examples(builder, split, wanted)
    ):
        if images is None:
            images = np.empty((wanted, *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise ValueError(
                f"image {count} of {builder.info.full_name} {split} has shape "
                f"{image.shape}, earlier ones {images.shape[1:]}; only sets of one image "
                "size can be loaded"
            )
        images[count], labels[count] = image, label
        count += 1
        if count % _CHUNK == 0:
            task.advance(_CHUNK)
    if count < wanted:
        raise OSError(f"its {split} split holds {count} examples, not {wanted}")
    return images, labels


def wanted_examples(name: str, split: str, held: int, examples: int | None) -> int:
    """How many examples to give, checked against how many there are."""
    if examples is None:
        return held
    if not 1 <= examples <= held:
        raise ValueError(
            f"{split}_examples is {examples} but the {split} split of {name} holds "
            f"{held}; give 1 to {held}, or None for all"
        )
    return examples


def _examples(
    builder: tfds.core.DatasetBuilder, split: str, wanted: int
) -> Iterator[dict[str, np.ndarray]]:
    file_format = builder.info.file_format
    if file_format == tfds.core.FileFormat.TFRECORD:
        files = builder.info.splits[split].filepaths
        for _, record in zip(range(wanted), tfrecord.records(files), strict=False):
            yield builder.info.features.deserialize_example_np(record)
        return
    if file_format != tfds.core.FileFormat.ARRAY_RECORD:
        raise ValueError(
            f"{builder.data_path} is stored as {file_format.value}, which cannot be read "
            "here; prepare it again with file_format='array_record'"
        )
    source = builder.as_data_source(split)
    for start in range(0, wanted, _CHUNK):
        yield from source.__getitems__(range(start, min(start + _CHUNK, wanted)))


def split_names(info: tfds.core.DatasetInfo) -> dict[str, str]:
    """Which stored split serves as "train" and which as "test".

    A set without a test split (Imagenette, ImageNet) is tested on `validation`.

    Raises:
      ValueError: there is no such split.
    """
    held = sorted(info.splits)
    test = next((s for s in ("test", "validation") if s in held), None)
    if "train" not in held or test is None:
        raise ValueError(
            f"{info.full_name} has the splits {held}; it must have 'train', and 'test' "
            "or 'validation'"
        )
    return {"train": "train", "test": test}
