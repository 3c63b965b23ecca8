"""Residual networks for small images: depth 6n + 2, widths W, 2W, 4W (He et al. 2016).

3×3 stem, then three stages of n basic blocks, stride 2 at the start of the second and the
third, and a 1×1 convolution with norm as the shortcut where shapes change ("option B");
average over positions, dense. Convolutions have no bias: norm layers follow.

**norm="none".** Each convolution then has a bias, in place of the norm's, and the second
convolution of each block starts at zero, so that every block starts as its shortcut and
activations keep their scale at any depth (Fixup, Zhang et al. 2019, without its scalars).
Wants a learning rate several times smaller than with norm layers.
"""

from collections.abc import Iterator, Sequence

from flax import linen as nn

from linconn_jax.checks import check, one_of, whole
from linconn_jax.models import checks
from linconn_jax.models.base import Model
from linconn_jax.models.layers import (
    NORMS,
    Conv,
    Dense,
    normalize,
    numbered,
)
from linconn_jax.models.linen import from_linen
from linconn_jax.typing import Array

STAGES = ("stage_1", "stage_2", "stage_3")


class Block(nn.Module):
    """conv → norm → ReLU → conv → norm, plus the shortcut, → ReLU."""

    width: int
    stride: int
    norm: str

    @nn.compact
    def __call__(self, images: Array, *, train: bool, axis_name: str | None) -> Array:
        """Maps `[n, height, width, inputs]` to `[n, rows, columns, width]`."""

        def layer(x: Array, conv: str, norm: str, size: int, stride: int) -> Array:
            bias = self.norm == "none"
            x = Conv(self.width, size, stride, bias, name=conv)(x, train=train)
            shared = {"norm": self.norm, "train": train, "axis_name": axis_name}
            return normalize(x, name=norm, **shared)

        x = nn.relu(layer(images, "conv_1", "norm_1", 3, self.stride))
        x = layer(x, "conv_2", "norm_2", 3, 1)
        if _changes_shape(images.shape[-1], self.width, self.stride):
            images = layer(images, "shortcut", "shortcut_norm", 1, self.stride)
        x = images + x
        # Has no effect, but networks on disk are known by the digest of this program.
        nn.relu(x)
        return nn.relu(x)


class ResNet(nn.Module):
    """stem → norm → ReLU → three stages of blocks → average-pool → dense."""

    width: int
    depth: int
    norm: str
    classes: int

    @nn.compact
    def __call__(
        self, images: Array, *, train: bool = False, axis_name: str | None = None
    ) -> Array:
        """Maps `[n, height, width, channels]` to logits `[n, classes]`."""
        shared = {"train": train, "axis_name": axis_name}
        stem = Conv(self.width, use_bias=self.norm == "none", name="stem")
        x = stem(images, train=train)
        x = nn.relu(normalize(x, norm=self.norm, name="stem_norm", **shared))
        for block, width, stride in blocks(self.width, self.depth):
            x = Block(width, stride, self.norm, name=block)(x, **shared)
        return Dense(self.classes, name="head")(x.mean(axis=(1, 2)))


def build(
    image_shape: tuple[int, ...],
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    width: int = 16,
    depth: int = 20,
    norm: str = "layer",
) -> Model:
    """The ResNet as a `Model`; images of at least 4×4."""
    check("depth", depth, whole(8))
    if depth % 6 != 2:
        raise ValueError(
            f"depth={depth} must be 6n + 2 for a ResNet of three stages (8, 14, 20, 32, "
            "44, 56, 110)"
        )
    check("norm", norm, one_of(*NORMS))
    checks.check_map("resnet", image_shape)
    return from_linen(
        ResNet(width, depth, norm, classes),
        family=f"resnet-{depth}-W-{norm}",
        image_shape=image_shape,
        classes=classes,
        mean=mean,
        std=std,
        zero=("conv_2",) if norm == "none" else (),
    )


def blocks(width: int, depth: int) -> Iterator[tuple[str, int, int]]:
    """(block, width, stride) of each block, in order of depth."""
    count = (depth - 2) // 6
    for i, stage in enumerate(STAGES):
        for j in range(1, count + 1):
            block, narrows = numbered(f"{stage}_block", j, count), i > 0 and j == 1
            yield block, width, 2 if narrows else 1
        width *= 2


def _changes_shape(inputs: int, width: int, stride: int) -> bool:
    """Whether a block needs a convolution as its shortcut."""
    return stride != 1 or inputs != width
