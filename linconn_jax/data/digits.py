"""The embedded set: scikit-learn's 1797 handwritten digits of 8×8 pixels."""

import gzip
import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

TEST_EVERY = 5
_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def raw() -> tuple[np.ndarray, np.ndarray]:
    """Grey values 0..16 as uint8 [1797, 8, 8] and labels uint8 [1797], in file order.

    Read from the file that scikit-learn ships, without importing scikit-learn (half a
    second warm, many seconds on a cold disk), and compared with a known digest, so that
    no version of scikit-learn can change the set unnoticed.

    Raises:
      ValueError: scikit-learn is missing, or ships other digits.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None:
        raise ValueError(
            "the data set 'digits' is carried by scikit-learn, which is not installed; "
            "run: pip install scikit-learn"
        )
    root = Path(package.submodule_search_locations[0])
    file = root / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(
        io.BytesIO(gzip.decompress(file.read_bytes())), delimiter=",", dtype=np.uint8
    )
    images, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if found != _SHA256:
        raise ValueError(
            f"{file} has content {found}, not the digits that this library knows "
            f"({_SHA256}); install another version of scikit-learn"
        )
    return images, labels


def is_test(labels: np.ndarray) -> np.ndarray:
    """Which examples are test examples: 360 of 1797, near 20 % of every class.

    Sort the examples by label, keeping file order among equals; every fifth of them,
    from the first, is a test example. Both splits keep file order.
    """
    mask = np.zeros(len(labels), bool)
    mask[np.argsort(labels, kind="stable")[::TEST_EVERY]] = True
    return mask


def grey(images: np.ndarray) -> np.ndarray:
    """Values 0..16 spread over 0..255: `round(v * 255 / 16)`, all 17 distinct."""
    return np.rint(images * (255 / 16)).astype(np.uint8)


with tfds.core.registered.skip_registration():

    class Digits(tfds.core.GeneratorBasedBuilder):
        """tfds builder of the digits, stored in file order as `array_record`."""

        name = "digits"
        VERSION = tfds.core.Version("1.0.0")

        def __init__(self, *, data_dir: Path):
            super().__init__(data_dir=data_dir, file_format="array_record")

        def _info(self) -> tfds.core.DatasetInfo:
            return tfds.core.DatasetInfo(
                builder=self,
                description="scikit-learn's handwritten digits, fixed split 1437/360.",
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
                        "label": tfds.features.ClassLabel(num_classes=10),
                    }
                ),
                supervised_keys=("image", "label"),
                homepage="https://archive.ics.uci.edu/dataset/80",
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
            images, labels = raw()
            test = is_test(labels)
            images = grey(images)[..., None]
            return {
                "train": self._generate_examples(images[~test], labels[~test]),
                "test": self._generate_examples(images[test], labels[test]),
            }

        def _generate_examples(self, images: np.ndarray, labels: np.ndarray):
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield i, {"image": image, "label": int(label)}
