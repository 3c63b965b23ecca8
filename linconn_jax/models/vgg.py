"""VGG with one dense layer, as trained on CIFAR-10 by Sharma et al. (2024).

Five stages of 3×3 convolutions (with bias) of width W, 2W, 4W, 8W, 8W, each convolution
followed by norm and ReLU. A 2×2 max-pool closes each of the first four stages, and the
map that is left is averaged to 1×1, so the dense layer is 8W → classes for every image
size. On 32×32 the map left is 2×2: the average-pool of the paper's network.

**Other sizes.** An odd side loses its last row or column in a pool, and a pool is left
out once a side is 1: 28×28 goes 28, 14, 7, 3, 1 and 8×8 goes 8, 4, 2, 1 (three pools).
Padding to 32×32 instead would spend 1.3 to 16 times the time on zeros.
"""

from collections.abc import Sequence

from flax import linen as nn

from linconn_jax.checks import check, one_of
from linconn_jax.models import checks
from linconn_jax.models.base import Model
from linconn_jax.models.conv import max_pool
from linconn_jax.models.layers import (
    NORMS,
    Conv,
    Dense,
    normalize,
    numbered,
)
from linconn_jax.models.linen import from_linen
from linconn_jax.typing import Array

STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions in each stage by depth (Simonyan & Zisserman 2015, nets A, B, D, E)."""
FACTORS = (1, 2, 4, 8, 8)


class VGG(nn.Module):
    """(conv → norm → ReLU) × stages, max-pools between, average-pool, dense."""

    width: int
    depth: int
    norm: str
    classes: int

    @nn.compact
    def __call__(
        self, images: Array, *, train: bool = False, axis_name: str | None = None
    ) -> Array:
        """Maps `[n, height, width, channels]` to logits `[n, classes]`."""
        shared = {"norm": self.norm, "train": train, "axis_name": axis_name}
        x, names = images, iter(layer_names(self.depth))
        for stage, convs in enumerate(STAGES[self.depth]):
            if stage and min(x.shape[1:3]) > 1:
                x = max_pool(x)
            for _ in range(convs):
                conv, norm = next(names)
                x = Conv(self.width * FACTORS[stage], name=conv)(x, train=train)
                x = nn.relu(normalize(x, name=norm, **shared))
        return Dense(self.classes, name="head")(x.mean(axis=(1, 2)))


def build(
    image_shape: tuple[int, ...],
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    width: int = 64,
    depth: int = 16,
    norm: str = "layer",
) -> Model:
    """The VGG as a `Model`; images of at least 4×4."""
    if depth not in STAGES:
        raise ValueError(f"depth={depth!r} is unknown for VGG; choose {list(STAGES)}")
    check("norm", norm, one_of(*NORMS))
    checks.check_map("vgg", image_shape)
    return from_linen(
        VGG(width, depth, norm, classes),
        family=f"vgg-{depth}-W-{norm}",
        image_shape=image_shape,
        classes=classes,
        mean=mean,
        std=std,
    )


def layer_names(depth: int) -> list[tuple[str, str]]:
    """Names of the convolutions and norm layers, from the input to the output."""
    count = sum(STAGES[depth])
    return [
        (numbered("conv", i, count), numbered("norm", i, count))
        for i in range(1, count + 1)
    ]
