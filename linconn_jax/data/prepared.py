"""Sets in tfds's own layout on disk: finding, building, locking and reading them.

A prepared set is the folder `DATA_DIR/name/version` with `dataset_info.json`. Nothing
here imports TensorFlow: tfds reads `array_record` files without it, and `tfrecord` files
(what tfds writes by default where TensorFlow is installed) are read by `tfrecord.py`.
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import absl.logging
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import tqdm_utils

from linconn_jax import progress
from linconn_jax.data import tfrecord

_CHUNK = 1000
_WORTH_A_BAR = 5000


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

    tfds writes into `incomplete.*` beside the place and renames at the end.
    """
    with quiet():
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    return Path(builder.data_path)


def open_set(path: Path) -> tfds.core.DatasetBuilder:
    """The builder of a prepared set."""
    with quiet():
        return tfds.builder_from_directory(path)


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
    image_key, label_key = example_keys(builder.info)
    held = builder.info.splits[split].num_examples
    wanted = wanted_examples(builder.info.full_name, split, held, examples)
    images, labels = None, np.empty(wanted, np.int32)
    bar = progress.task(
        f"reading {builder.info.name} {split}",
        wanted,
        unit="images",
        quiet=silent or wanted < _WORTH_A_BAR,
    )
    with quiet(), bar as task:
        for i, example in enumerate(_examples(builder, split, wanted)):
            image = example[image_key]
            if images is None:
                images = np.empty((wanted, *image.shape), np.uint8)
            if image.shape != images.shape[1:]:
                raise ValueError(
                    f"image {i} of {builder.info.full_name} {split} has shape "
                    f"{image.shape}, earlier ones {images.shape[1:]}; only sets of one "
                    "image size can be loaded"
                )
            images[i], labels[i] = image, example[label_key]
            if (i + 1) % _CHUNK == 0:
                task.advance(_CHUNK)
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
