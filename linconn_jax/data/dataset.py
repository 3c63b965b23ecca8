"""What a data set is inside the library: two splits of whole arrays and a few facts."""

import dataclasses

import numpy as np

from linconn_jax import trees
from linconn_jax.typing import Any, Int, Shaped, UInt8

Images = UInt8[np.ndarray, "examples height width channels"]
Inputs = Shaped[np.ndarray, "examples ..."]
Labels = Int[np.ndarray, " examples"]


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split, in a fixed order, as read-only arrays.

    Attributes:
      images: grey values or RGB in 0..255, uint8 [examples, height, width, channels]; of
        a set from `from_arrays`, any inputs, uint8 or float32 [examples, ...].
      labels: class of each example, int32 [examples].
    """

    images: Inputs
    labels: Labels

    @property
    def examples(self) -> int:
        """Number of examples."""
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width, channels)`, or the shape of any other input."""
        return self.images.shape[1:]

    def first(self, examples: int) -> "Split":
        """The split cut to its first examples."""
        return Split(self.images[:examples], self.labels[:examples])


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set whose training and test examples are kept apart.

    Attributes:
      name: the name it was loaded by, or given.
      train: examples to train on.
      test: examples never trained on.
      classes: number of classes.
      mean: per channel, of the training images scaled to [0, 1]; one number for inputs
        that are no images; 0 for floats, which are taken as normalised.
      std: as `mean`; 1 for floats.
      digest: sha256 of the names, shapes and bytes of all four arrays, and of whatever
        else was given to `from_arrays`.
      note: one line that says where the examples come from; a set that is not what its
        name or shape suggests (mocked, composited) says so here.
    """

    name: str
    train: Split
    test: Split
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    note: str

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width, channels)`, or the shape of any other input, in both."""
        return self.train.image_shape


def make_split(images: np.ndarray, labels: np.ndarray) -> Split:
    """A `Split` with read-only arrays of the right types."""
    images = np.ascontiguousarray(images, dtype=np.uint8)
    labels = np.ascontiguousarray(labels, dtype=np.int32)
    images.flags.writeable = labels.flags.writeable = False
    return Split(images, labels)


def content_digest(train: Split, test: Split, **more: Any) -> str:
    """sha256 of both splits and of more numbers; equal for equal content only."""
    splits = {
        name: {"images": split.images, "labels": split.labels}
        for name, split in (("train", train), ("test", test))
    }
    return trees.sha256(splits | more)


def channel_statistics(
    images: Images,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of images scaled to [0, 1].

    Sums are integers of counts of grey values, so the result is exact to float64.
    """
    grey = np.arange(256) / 255
    mean, std = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        first = float(counts @ grey / counts.sum())
        mean.append(first)
        std.append(float(np.sqrt(counts @ (grey - first) ** 2 / counts.sum())))
    return tuple(mean), tuple(std)
