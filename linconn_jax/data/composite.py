"""`fashion_photos`: a colour set of CIFAR's shape that needs no download. Not CIFAR.

Tinted Fashion-MNIST garments on 32×32 crops of ten photos that scikit-image and
scikit-learn ship. Training backgrounds come from the left 80 % of each photo, test
backgrounds from the right 20 %, so no background pixel is in both splits.
"""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

from linconn_jax.typing import Float, Int, UInt8

Photo = UInt8[np.ndarray, "_ _ 3"]

NAME = "fashion_photos"
NOTE = (
    "NOT CIFAR: tinted Fashion-MNIST garments composited on crops of ten photos, in "
    "CIFAR's shape; test backgrounds from a held-out part of each photo"
)
SIDE = 32
TRAIN_PART = 0.8
_FILES = {
    "skimage": (
        "data",
        "astronaut.png",
        "coffee.png",
        "chelsea.png",
        "rocket.jpg",
        "retina.jpg",
        "hubble_deep_field.jpg",
        "ihc.png",
        "motorcycle_left.png",
    ),
    "sklearn": ("datasets/images", "china.jpg", "flower.jpg"),
}
_BLOCK = 128
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def photos() -> list[Photo]:
    """The ten photos, as RGB, read from the files of the installed packages.

    Raises:
      ValueError: a package is missing or does not ship a photo; says what to install.
    """
    found = []
    for package, (folder, *files) in _FILES.items():
        spec = importlib.util.find_spec(package)
        for file in files:
            root = Path(spec.submodule_search_locations[0]) if spec else None
            if root is None or not (root / folder / file).is_file():
                raise ValueError(
                    f"the data set {NAME!r} needs the photo {file} of {package}, which "
                    "is not installed; run: pip install 'linconn_jax[colour]'"
                )
            with Image.open(root / folder / file) as image:
                found.append(np.asarray(image.convert("RGB")))
    return found


def halves(images: list[Photo], split: str) -> list[Photo]:
    """The part of each photo that a split's backgrounds are cut from."""
    borders = [int(image.shape[1] * TRAIN_PART) for image in images]
    return [
        image[:, :border] if split == "train" else image[:, border:]
        for image, border in zip(images, borders, strict=True)
    ]


def uniform(
    index: Int[np.ndarray, " n"], draw: int, split: str
) -> Float[np.ndarray, " n"]:
    """Numbers in [0, 1) that depend on (example, draw, split) alone.

    SplitMix64 (Steele, Lea and Flood 2014) of a counter: unlike a generator's stream,
    the same on every platform and version, whatever else was drawn.
    """
    counter = index.astype(np.uint64) * np.uint64(64) + np.uint64(2 * draw)
    state = (counter + np.uint64(split == "test")) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in _ROUNDS:
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def tints(
    hue: Float[np.ndarray, " n"], saturation: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """RGB in [0, 1] of colours of full value (the HSV colour model)."""
    angle = (hue[:, None] * 6 + np.asarray([5.0, 3.0, 1.0])) % 6
    ramp = np.clip(np.minimum(angle, 4 - angle), 0, 1)
    return 1 - saturation[:, None] * ramp


def compose(
    garments: UInt8[np.ndarray, "n 28 28 1"],
    split: str,
    images: list[Photo],
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """The composited images of the first n garments of a split.

    Example i depends on garment i, i and the split only, so that a longer prefix of the
    set begins with the shorter one.

    Args:
      garments: Fashion-MNIST images of the split, in order.
      split: "train" or "test".
      images: the whole photos.
    """
    out = np.empty((len(garments), SIDE, SIDE, 3), np.uint8)
    parts = halves(images, split)
    margin = (SIDE - garments.shape[1]) // 2
    for start in range(0, len(garments), _BLOCK):
        block = garments[start : start + _BLOCK, :, :, 0]
        index = np.arange(start, start + len(block))
        padded = np.pad(block, ((0, 0), (margin, margin), (margin, margin)))
        value = (padded / np.float32(255))[..., None]
        alpha = np.clip(4 * value, 0, 1)
        tint = tints(uniform(index, 0, split), uniform(index, 1, split))
        mixed = (255 * alpha * value) * tint.astype(np.float32)[:, None, None, :]
        mixed += (1 - alpha) * _backgrounds(index, split, parts)
        out[start : start + len(block)] = np.rint(mixed)
    return out


def _backgrounds(
    index: Int[np.ndarray, " n"],
    split: str,
    parts: list[Photo],
) -> UInt8[np.ndarray, "n 32 32 3"]:
    draws = (uniform(index, draw, split) for draw in (2, 3, 4))
    crops = np.empty((len(index), SIDE, SIDE, 3), np.uint8)
    for i, (which, down, right) in enumerate(zip(*draws, strict=True)):
        part = parts[int(which * len(parts))]
        top = int(down * (part.shape[0] - SIDE + 1))
        left = int(right * (part.shape[1] - SIDE + 1))
        crops[i] = part[top : top + SIDE, left : left + SIDE]
    return crops
