"""Convolutional networks without residual streams: VGG, DenseNet, U-Net."""

from flax import linen as nn
from jax import numpy as jnp

from zoo.case import from_linen, normal

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))


class VGG(nn.Module):
    """Thirteen 3×3 convolutions, a pooling after each of the first `pools` stages."""

    width: int
    pools: int

    @nn.compact
    def __call__(self, x):
        for i, (factor, layers) in enumerate(STAGES):
            for j in range(layers):
                x = nn.Conv(self.width * factor, (3, 3), name=f"conv_{i}_{j}")(x)
                x = nn.relu(nn.LayerNorm(name=f"norm_{i}_{j}")(x))
            if i < self.pools:
                x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(5, name="head")(x.reshape(len(x), -1))


class DenseNet(nn.Module):
    """DenseNet-BC: every layer appends `growth` channels to all that came before."""

    growth: int
    layers: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(2 * self.growth, (3, 3), use_bias=False, name="stem")(x)
        for i, layers in enumerate(self.layers):
            for j in range(layers):
                y = self.layer(x, 4 * self.growth, (1, 1), f"{i}_{j}_squeeze")
                y = self.layer(y, self.growth, (3, 3), f"{i}_{j}_grow")
                x = jnp.concatenate([x, y], axis=-1)
            if i < len(self.layers) - 1:
                x = self.layer(x, x.shape[-1] // 2, (1, 1), f"{i}_transition")
                x = nn.avg_pool(x, (2, 2), (2, 2))
        x = nn.relu(self.norm("last_norm")(x))
        return nn.Dense(5, name="head")(x.mean(axis=(1, 2)))

    def layer(self, x, units, size, name):
        x = nn.relu(self.norm(f"norm_{name}")(x))
        return nn.Conv(units, size, use_bias=False, name=f"conv_{name}")(x)

    def norm(self, name):
        return nn.BatchNorm(use_running_average=True, name=name)


class UNet(nn.Module):
    """Two levels down and up; each way up meets its level's map by concatenation."""

    width: int

    @nn.compact
    def __call__(self, x):
        skips = []
        for level in range(2):
            x = self.double(x, level, f"down_{level}")
            skips.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = self.double(x, 2, "bottom")
        for level in (1, 0):
            units = self.width * 2**level
            x = nn.ConvTranspose(units, (2, 2), strides=(2, 2), name=f"up_{level}")(x)
            x = jnp.concatenate([skips[level], x], axis=-1)
            x = self.double(x, level, f"merge_{level}")
        return nn.Conv(2, (1, 1), name="head")(x)

    def double(self, x, level, name):
        for j in range(2):
            x = nn.Conv(self.width * 2**level, (3, 3), name=f"{name}_{j}")(x)
            x = nn.relu(x)
        return x


VGG_GROUPS = [(3 * factor, 1) for factor, layers in STAGES for _ in range(layers)]

CASES = [
    from_linen(
        "vgg16-1x1",
        VGG(width=3, pools=5),
        normal(6, 32, 32, 3),
        VGG_GROUPS,
        "one for each of the 13 convolutions (published: 13)",
    ),
    from_linen(
        "vgg16-2x2",
        VGG(width=3, pools=4),
        normal(6, 32, 32, 3),
        VGG_GROUPS,
        "the same 13: the dense layer's input axis is 4 positions × the last "
        "convolution's units, and positions are tied to the image",
    ),
    from_linen(
        "densenet-bc",
        DenseNet(growth=3, layers=(2, 2)),
        normal(8, 8, 8, 3),
        # Block 1 reads the stem's 6; the transition halves 6 + 3 + 3; block 2 appends.
        [(6, 1), *[(12, 1), (3, 1)] * 2, (6, 1), *[(12, 1), (3, 1)] * 2],
        "one a convolution: a concatenation ties nothing, since each of its parts keeps "
        "its own units; the norm and convolution after it carry all the parts",
    ),
    from_linen(
        "u-net",
        UNet(width=4),
        normal(4, 8, 8, 2),
        [*[(4, 1)] * 2, *[(8, 1)] * 2, *[(16, 1)] * 2]
        + [(8, 1), *[(8, 1)] * 2, (4, 1), *[(4, 1)] * 2],
        "one a convolution but the last, which writes the output: 2 on each of 5 levels "
        "and 2 transposed ones; skips concatenate, so the two sides are not tied",
    ),
]
