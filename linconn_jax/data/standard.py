"""tfds's builders of the standard sets, prepared without TensorFlow.

tfds's own preparation of these sets calls TensorFlow to unpack, read and encode. The
subclass made here keeps the name, version, features and order of records, and replaces
only the reading of the archives, so what it writes is what tfds would have written.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from linconn_jax import progress
from linconn_jax.data import formats, prepared

NAMES = ("mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn_cropped")


def prepare(
    name: str, files: Mapping[str, Path], data_dir: Path, *, silent: bool = False
) -> Path:
    """Writes `data_dir/name/version` from the official archives.

    Args:
      name: one of `NAMES`.
      files: checked path of each official file name.
      data_dir: tfds's data folder.
      silent: show no progress.

    Returns:
      The folder of the prepared set.
    """
    class_names: dict[str, list[str]] = {}
    if name in ("cifar10", "cifar100"):
        splits, class_names = formats.read_cifar(name, files)
    elif name == "svhn_cropped":
        splits = formats.read_svhn(files)
    else:
        splits = formats.read_idx_set(files)
    total = sum(len(columns["label"]) for columns in splits.values())
    bar = progress.task(f"preparing {name}", total, unit="images", quiet=silent)
    with bar as task:
        builder = _builder_class(name, splits, class_names, task)
        return prepared.build(builder(data_dir=data_dir, file_format="array_record"))


def _builder_class(
    name: str,
    splits: dict[str, formats.Columns],
    class_names: dict[str, list[str]],
    task: progress.Task,
) -> type[tfds.core.DatasetBuilder]:
    base = tfds.builder_cls(name)
    with tfds.core.registered.skip_registration():

        class Standard(base):
            """The standard builder with another reader of the archives."""

            pkg_dir_path = base._get_pkg_dir_path()

            def _split_generators(self, dl_manager):
                for key, names in class_names.items():
                    self.info.features[key].names = names
                return {
                    split: self._generate_examples(columns)
                    for split, columns in splits.items()
                }

            def _generate_examples(self, columns):
                for i, example in enumerate(_rows(columns)):
                    yield i, example
                    task.advance()

    Standard.name = base.name
    return Standard


def _rows(columns: formats.Columns) -> Iterator[dict]:
    """One example at a time, in the types that tfds encodes without TensorFlow."""
    others = [key for key in columns if key != "image"]
    for i, image in enumerate(columns["image"]):
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        row = {key: columns[key][i].item() for key in others}
        yield row | {"image": Image.fromarray(np.ascontiguousarray(pixels))}
