"""Small networks for images: MobileNets, squeeze-excite."""

from flax import linen as nn

from zoo.case import from_linen, normal


class Separable(nn.Module):
    """MobileNetV1: depthwise 3×3 and pointwise 1×1 convolutions by turns."""

    units: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        x = self.layer(x, self.units[0], (3, 3), 1, "stem")
        for i, units in enumerate(self.units[1:], 1):
            x = self.layer(x, x.shape[-1], (3, 3), x.shape[-1], f"depthwise_{i}")
            x = self.layer(x, units, (1, 1), 1, f"pointwise_{i}")
        return nn.Dense(5, name="head")(x.mean(axis=(1, 2)))

    def layer(self, x, units, size, groups, name):
        conv = nn.Conv(units, size, feature_group_count=groups, name=name)
        norm = nn.BatchNorm(use_running_average=True, name=f"{name}_norm")
        return nn.relu(norm(conv(x)))


class Inverted(nn.Module):
    """MobileNetV2's block: expand, depthwise, project; added if the shape allows."""

    units: int
    stride: int

    @nn.compact
    def __call__(self, x):
        inner = 2 * x.shape[-1]
        y = self.layer(x, inner, 1, "expand")
        y = self.layer(y, inner, 3, "depthwise", self.stride, inner)
        y = self.layer(y, self.units, 1, "project", linear=True)
        return x + y if x.shape == y.shape else y

    def layer(self, x, units, size, name, stride=1, groups=1, linear=False):
        x = nn.Conv(
            units,
            (size, size),
            (stride, stride),
            use_bias=False,
            feature_group_count=groups,
            name=name,
        )(x)
        x = nn.BatchNorm(use_running_average=True, name=f"{name}_norm")(x)
        return x if linear else nn.relu6(x)


class MobileNetV2(nn.Module):
    """Stem, two stages of two inverted residual blocks, a last 1×1 convolution."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu6(nn.Conv(3, (3, 3), name="stem")(x))
        for i, (units, stride) in enumerate([(4, 1), (4, 1), (5, 2), (5, 1)]):
            x = Inverted(units, stride, name=f"block_{i}")(x)
        x = nn.relu6(nn.Conv(7, (1, 1), name="last")(x))
        return nn.Dense(5, name="head")(x.mean(axis=(1, 2)))


class SqueezeExcite(nn.Module):
    """Residual blocks whose units are scaled by a gate computed from their means."""

    width: int

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(self.width, (3, 3), name="stem")(x)
        for i in range(2):
            y = nn.relu(nn.Conv(5 + i, (3, 3), name=f"conv_{i}_1")(x))
            y = nn.Conv(self.width, (3, 3), name=f"conv_{i}_2")(y)
            gate = y.mean(axis=(1, 2), keepdims=True)
            gate = nn.relu(nn.Dense(3, name=f"squeeze_{i}")(gate))
            gate = nn.sigmoid(nn.Dense(self.width, name=f"excite_{i}")(gate))
            x = nn.relu(x + y * gate)
        return nn.Dense(5, name="head")(x.mean(axis=(1, 2)))


CASES = [
    from_linen(
        "mobilenet-v1",
        Separable((4, 6, 8, 5)),
        normal(8, 8, 8, 3),
        [(4, 1), (6, 1), (8, 1), (5, 1)],
        "one for the stem and each pointwise convolution; a depthwise one has a filter "
        "for each unit that it reads and writes that unit",
    ),
    from_linen(
        "mobilenet-v2",
        MobileNetV2(),
        normal(8, 8, 8, 3),
        # stem; stream of blocks 0, 1; of blocks 2, 3; inner widths 2 × input; last
        [(3, 1), (4, 1), (5, 1), (6, 1), (8, 1), (8, 1), (10, 1), (7, 1)],
        "stem, 2 streams (the linear projections add up), 1 inside each of 4 blocks "
        "through expand and depthwise, the last convolution",
    ),
    from_linen(
        "squeeze-excite",
        SqueezeExcite(4),
        normal(8, 6, 6, 3),
        [(4, 1), (5, 1), (3, 1), (6, 1), (3, 1)],
        "one stream, which the gates join; in each block the convolution's and the "
        "squeezed units",
    ),
]
