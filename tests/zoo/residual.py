"""ResNets: basic and bottleneck blocks, grouped ones, norms, padded shortcuts."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
from jax import numpy as jnp

from zoo.case import from_linen, normal

NORMS = {
    "layer": nn.LayerNorm,
    "batch": lambda name: nn.BatchNorm(use_running_average=True, name=name),
    "group": lambda name: nn.GroupNorm(num_groups=4, name=name),
}


class Block(nn.Module):
    """Basic, or bottleneck with `groups` groups in its 3×3 convolution."""

    width: int
    stride: int
    norm: str
    bottleneck: bool = False
    groups: int = 1
    pad: bool = False  # the shortcut pads with zero channels (He et al. 2016, option A)

    @nn.compact
    def __call__(self, x):
        out = self.width * (4 if self.bottleneck else 1)
        if self.bottleneck:
            y = nn.relu(self.layer(x, self.width, 1, "reduce"))
            y = nn.relu(self.layer(y, self.width, 3, "conv", self.stride, self.groups))
            y = self.layer(y, out, 1, "expand")
        else:
            y = nn.relu(self.layer(x, out, 3, "conv_1", self.stride))
            y = self.layer(y, out, 3, "conv_2")
        if x.shape != y.shape:
            x = self.shortcut(x, out)
        return nn.relu(x + y)

    def shortcut(self, x, out):
        if not self.pad:
            return self.layer(x, out, 1, "shortcut", self.stride)
        x = x[:, :: self.stride, :: self.stride]
        return jnp.pad(x, [(0, 0)] * 3 + [(0, out - x.shape[-1])])

    def layer(self, x, units, size, name, stride=1, groups=1):
        conv = nn.Conv(
            units,
            (size, size),
            (stride, stride),
            use_bias=False,
            feature_group_count=groups,
            name=name,
        )
        return NORMS[self.norm](name=f"{name}_norm")(conv(x))


class ResNet(nn.Module):
    """Stem, stages of `blocks` blocks (the first of a stage halves the map), dense."""

    blocks: tuple[int, ...]
    width: int
    block: Callable[..., nn.Module]
    norm: str
    imagenet: bool = False
    classes: int = 5

    @nn.compact
    def __call__(self, x):
        size, stride = (7, 2) if self.imagenet else (3, 1)
        x = nn.Conv(
            self.width, (size, size), (stride, stride), use_bias=False, name="stem"
        )(x)
        x = nn.relu(NORMS[self.norm](name="stem_norm")(x))
        if self.imagenet:
            x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        for i, count in enumerate(self.blocks):
            for j in range(count):
                stride = 2 if i and j == 0 else 1
                x = self.block(
                    self.width * 2**i, stride, self.norm, name=f"block_{i}_{j}"
                )(x)
        return nn.Dense(self.classes, name="head")(x.mean(axis=(1, 2)))


def resnet20(norm: str, **options: Any) -> ResNet:
    """Three stages of three basic blocks of widths 3, 6, 12."""
    return ResNet((3, 3, 3), 3, lambda *a, **k: Block(*a, **options, **k), norm)


def resnet50(norm: str, width: int = 3, classes: int = 5) -> ResNet:
    """Bottleneck blocks, 3, 4, 6 and 3 a stage, after a 7×7 stem and a pooling."""

    def block(*args, **options):
        return Block(*args, bottleneck=True, **options)

    return ResNet((3, 4, 6, 3), width, block, norm, imagenet=True, classes=classes)


def basic(width: int, count: int) -> list[tuple[int, int]]:
    """A residual stream of basic blocks: the stream, and one group inside each block."""
    return [(width, 1)] * (1 + count)


def resnet50_groups(width: int) -> list[tuple[int, int]]:
    """The stem; in each stage the stream, and two groups inside each block."""
    groups = [(width, 1)]
    for i, count in enumerate((3, 4, 6, 3)):
        groups += [(4 * width * 2**i, 1), *[(width * 2**i, 1)] * (2 * count)]
    return groups


RESNET20 = basic(3, 3) + basic(6, 3) + basic(12, 3)

CASES = [
    *(
        from_linen(
            f"resnet20-{norm}",
            resnet20(norm),
            normal(6, 8, 8, 3),
            RESNET20,
            "published: 12 = 3 streams (the stem writes one, a shortcut convolution "
            "begins each other) + 1 inside each of 9 blocks",
        )
        for norm in ("layer", "batch")
    ),
    from_linen(
        "resnet20-padded-shortcut",
        resnet20("batch", pad=True),
        normal(6, 8, 8, 3),
        # The old units go through the zero-padded shortcut into the next stage.
        [(3, 1), *[(3, 1)] * 3, (3, 1), *[(6, 1)] * 3, (6, 1), *[(12, 1)] * 3],
        "12, but the second stream is the first stream's 3 units and 3 new ones, the "
        "third stream those 6 and 6 new ones",
    ),
    *(
        from_linen(
            f"resnet50-{norm}",
            resnet50(norm),
            normal(4, 32, 32, 3),
            resnet50_groups(3),
            "37 = the stem (its pooled output is read by convolutions only, the first "
            "stage too has a shortcut convolution) + 4 streams + 2 in each of 16 blocks",
        )
        for norm in ("layer", "batch")
    ),
    from_linen(
        "resnext",
        ResNet(
            (2, 1),
            6,
            lambda *a, **k: Block(*a, bottleneck=True, groups=3, **k),
            "batch",
        ),
        normal(6, 8, 8, 3),
        [(6, 1), (24, 1), (48, 1)]
        + [(3, 1), (2, 3), (2, 3)] * 2
        + [(3, 1), (4, 3), (4, 3)],
        "stem and 2 streams; in each block the 3 groups permute together on both sides "
        "of the grouped convolution, and inside each group the units read and the units "
        "written permute on their own",
    ),
    from_linen(
        "resnet-groupnorm4",
        ResNet((2,), 12, Block, "group"),
        normal(8, 6, 6, 3),
        [(4, 1), (3, 4)] * 3,
        "the stream and the inside of each of 2 blocks: 4 groups of 3 units that a norm "
        "keeps together; groups permute, units inside each group",
    ),
]
