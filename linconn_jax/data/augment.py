"""Augmentation of training images, as pure functions of a key; evaluation uses none."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Shaped

from linconn_jax.typing import Array, Key

Images = Shaped[Array, "examples height width channels"]
Augmentation = Callable[[Key, Images], Images]


def none(key: Key, images: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """The images, or any other inputs, as they are."""
    del key
    return images


def flip(key: Key, images: Images) -> Images:
    """Mirrors each image left to right with probability 1/2."""
    mirrored = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1, :], images)


def pad_and_crop(key: Key, images: Images, *, pad: int = 4) -> Images:
    """Surrounds each image with `pad` zeros and cuts a window of its old size out of it.

    Each of the `(2 pad + 1)²` windows is equally likely. On uint8 images the border is
    black, as in the usual CIFAR recipe, which crops before it normalises.

    Raises:
      ValueError: `pad` is negative.
    """
    if pad < 0:
        raise ValueError(f"pad is {pad}; it must be 0 or more pixels")
    examples, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    corners = jax.random.randint(key, (examples, 2), 0, 2 * pad + 1)

    def window(image: Array, corner: Array) -> Array:
        start = (corner[0], corner[1], jnp.zeros((), corner.dtype))
        return jax.lax.dynamic_slice(image, start, (height, width, channels))

    return jax.vmap(window)(padded, corners)


def compose(*augmentations: Augmentation) -> Augmentation:
    """One augmentation that applies several in order, each with a key of its own."""

    def composed(key: Key, images: Images) -> Images:
        for i, augmentation in enumerate(augmentations):
            images = augmentation(jax.random.fold_in(key, i), images)
        return images

    return composed


_BY_NAME: dict[str, Augmentation] = {
    "none": none,
    "flip": flip,
    "crop": pad_and_crop,
    "flip_crop": compose(flip, pad_and_crop),
}


def by_name(name: str, image_shape: tuple[int, ...] | None = None) -> Augmentation:
    """The augmentation that a config names: "none", "flip", "crop" or "flip_crop".

    Args:
      name: of it.
      image_shape: shape of one input, to find out whether it is an image.

    Raises:
      ValueError: another name, or one other than "none" for inputs that are no images.
    """
    if name not in _BY_NAME:
        raise ValueError(
            f"augmentation is {name!r}; it must be one of {', '.join(_BY_NAME)}"
        )
    if name != "none" and image_shape is not None and len(image_shape) != 3:
        raise ValueError(
            f"augmentation is {name!r}, which takes images (height, width, channels); "
            f"the data set's inputs have shape {tuple(image_shape)}: use 'none'"
        )
    return _BY_NAME[name]
