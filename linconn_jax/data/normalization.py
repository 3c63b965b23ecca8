"""Constants by which networks normalise the images of a data set."""

import dataclasses

import numpy as np

from linconn_jax import checks
from linconn_jax.data.dataset import Dataset, content_digest

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels, scaled to [0, 1]."""
NORMALIZATIONS = ("own", "imagenet")


def normalized(dataset: Dataset, by: str) -> Dataset:
    """The data set with other constants `mean` and `std`; images stay as they are.

    Args:
      dataset: from `load` or `from_arrays`.
      by: "own", which changes nothing, or "imagenet". The digest tells what was chosen.

    Raises:
      ValueError: it is neither, or the data are no RGB images of grey values 0..255.
    """
    checks.check("normalization", by, checks.one_of(*NORMALIZATIONS))
    if by == "own":
        return dataset
    images = dataset.train.images
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"normalization={by!r} is for RGB images, uint8 [n, height, width, 3]; "
            f"the data set {dataset.name!r} has {images.dtype} "
            f"{['n', *images.shape[1:]]}: normalization='own'"
        )
    mean, std = IMAGENET
    whole = np.frombuffer(dataset.digest.encode(), "u1")
    given = {"mean": np.asarray(mean), "std": np.asarray(std), "whole": whole}
    digest = content_digest(dataset.train, dataset.test, **given)
    return dataclasses.replace(dataset, mean=mean, std=std, digest=digest)
