"""This project's families of networks, by name."""

import inspect
from collections.abc import Sequence
from typing import Any

from linconn_jax.checks import check, one_of, whole
from linconn_jax.models import mlp, resnet, vgg
from linconn_jax.models.base import Model
from linconn_jax.models.checks import check_build

LARGEST = {"width": 10_000_000, "depth": 2_000}
"""Above these, sizes overflow, and a network takes minutes to be traced."""

FAMILIES = {"mlp": mlp.build, "vgg": vgg.build, "resnet": resnet.build}


def build(
    family: str,
    *,
    image_shape: tuple[int, ...],
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    **options: Any,
) -> Model:
    """A network of one of the families.

    Args:
      family: "mlp" (options width, depth=3 hidden layers, activation="relu",
        norm="none"), "vgg" (width=64, depth=16, norm="layer") or "resnet" (width=16,
        depth=20, norm="layer"). norm is "layer", "batch" or "none".
      image_shape: (height, width, channels); for an MLP, the shape of any input.
      classes: number of classes, at least 2.
      mean: mean of each channel in [0, 1], for uint8 images; of inputs that are no
        images, one number for all.
      std: standard deviation of each channel, likewise.
      **options: of the family.

    Raises:
      ValueError: an unknown family or option, or a value that makes no sense.
    """
    check("family", family, one_of(*FAMILIES))
    check_build(image_shape, classes, mean, std)
    make = FAMILIES[family]
    known = [
        p.name
        for p in inspect.signature(make).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    ]
    for option in options:
        if option not in known:
            raise ValueError(f"{family!r} has no option {option!r}; it has {known}")
    for option in options.keys() & {"width", "depth"}:
        check(option, options[option], whole(1, LARGEST[option]))
    if family == "mlp" and "width" not in options:
        raise ValueError("family='mlp' needs width, the units of a hidden layer")
    return make(tuple(image_shape), classes, tuple(mean), tuple(std), **options)
