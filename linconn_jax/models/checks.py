"""Checks of the options that `build` takes; each raises a ValueError by name."""

from collections.abc import Sequence

import numpy as np

from linconn_jax.checks import check, several, whole


def check_build(
    image_shape: tuple[int, ...],
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Checks the options that all families share.

    Raises:
      ValueError: by name, for whatever is not as `build` says.
    """
    shape = tuple(image_shape)
    why = "(height, width, channels) of images; grey ones have channels=1"
    check("image_shape", shape, several(whole(1), least=1), why=why)
    check("classes", classes, whole(2))
    channels = shape[2] if len(shape) == 3 else 1
    for option, values in (("mean", mean), ("std", std)):
        if len(values) != channels or not np.all(np.isfinite(values)):
            raise ValueError(
                f"{option}={values!r} must have one finite number for each of the "
                f"{channels} channels of image_shape={shape} (inputs that are no images "
                "have one)"
            )
    if min(std) <= 0:
        raise ValueError(f"std={std!r} must be positive in every channel")


def check_map(family: str, image_shape: tuple[int, ...], least: int = 4) -> None:
    """Refuses inputs that are no images, or too small, for a convolutional family."""
    if len(image_shape) != 3:
        raise ValueError(
            f"inputs have the shape {image_shape}, and {family!r} takes images (height, "
            'width, channels); use family="mlp", or reshape them'
        )
    if min(image_shape[:2]) < least:
        raise ValueError(
            f"image_shape={image_shape} is too small for {family!r}: height and width "
            f'must be at least {least}; use family="mlp"'
        )
