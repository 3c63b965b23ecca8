"""A data set of one's own: any arrays.

    python -m experiments.weak --config=configs/digits.py \
        --config.dataset.function=blobs:load
"""

import numpy as np


def load():
    """Ten noisy clusters in twelve dimensions; or `np.load("mine.npz")`."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(10, 12))

    def draw(examples):
        labels = random.integers(10, size=examples)
        noise = random.normal(size=(examples, 12))
        return np.float32(2 * centres[labels] + noise), labels

    return {"train": draw(256), "test": draw(128)}
