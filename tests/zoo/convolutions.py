"""Convolutions as plain functions: channels first, multipliers, groups within groups."""

import jax
from jax import numpy as jnp

from zoo.case import Shape, from_shapes, normal

NHWC = ("NHWC", "HWIO", "NHWC")


def convolve(x, kernel, *, groups=1, layout=NHWC, **options):
    options = {"window_strides": (1, 1), "padding": "SAME"} | options
    return jax.lax.conv_general_dilated(
        x, kernel, dimension_numbers=layout, feature_group_count=groups, **options
    )


def channels_first(v, x):
    """As in PyTorch: `[n, channels, height, width]`, flattened before the dense layer."""
    layout = ("NCHW", "OIHW", "NCHW")
    x = convolve(x, v["conv_1"], layout=layout, rhs_dilation=(2, 2))
    x = jax.nn.relu(x + v["bias"][None, :, None, None])
    x = convolve(x, v["conv_2"], layout=layout, window_strides=(2, 2))
    x = -jax.lax.reduce_window(
        -x, jnp.inf, jax.lax.min, (1, 1, 2, 2), (1, 1, 1, 1), "VALID"
    )
    return jax.nn.relu(x.reshape(len(x), -1) @ v["dense"]) @ v["head"]


def multiplied(v, x):
    """Depthwise convolutions that write two units for each that they read."""
    x = convolve(x, v["conv_1"], groups=x.shape[-1])  # of the image's channels
    x = jax.nn.relu(x) @ v["mix"]
    x = jax.nn.relu(convolve(x, v["conv_2"], groups=x.shape[-1]))
    return x.mean(axis=(1, 2)) @ v["head"]


def regrouped(v, x):
    """A convolution of 4 groups followed by one of 2."""
    x = jax.nn.relu(convolve(x, v["conv"]))
    x = jax.nn.relu(convolve(x, v["four"], groups=4))
    x = jax.nn.relu(convolve(x, v["two"], groups=2))
    return x.mean(axis=(1, 2)) @ v["head"]


def resized(v, x):
    """A decoder that doubles its map by interpolation."""
    x = jnp.tanh(convolve(x, v["conv_1"]))
    x = jax.image.resize(x, (len(x), 8, 8, x.shape[-1]), "bilinear")
    return convolve(jnp.tanh(convolve(x, v["conv_2"])), v["conv_3"])


CASES = [
    from_shapes(
        "cnn-channels-first",
        channels_first,
        {
            **{"conv_1": Shape(4, 2, 3, 3), "bias": Shape(4)},
            **{"conv_2": Shape(5, 4, 3, 3), "dense": Shape(20, 6)},
            "head": Shape(6, 2),
        },
        normal(8, 2, 6, 6),
        [(4, 1), (5, 1), (6, 1)],
        "one a layer; the dense layer's input axis is 5 units × 4 positions",
    ),
    from_shapes(
        "depthwise-multiplier",
        multiplied,
        {
            **{"conv_1": Shape(3, 3, 1, 9), "mix": Shape(9, 4)},
            **{"conv_2": Shape(3, 3, 1, 12), "head": Shape(12, 2)},
        },
        normal(8, 4, 4, 3),
        [(3, 1)] * 3 + [(4, 1), (3, 4)],
        "3 units for each of the image's 3 channels, which stay; then 3 for each of the "
        "4 mixed units, which permute",
    ),
    from_shapes(
        "groups-within-groups",
        regrouped,
        {
            **{"conv": Shape(3, 3, 2, 12), "four": Shape(3, 3, 3, 12)},
            **{"two": Shape(3, 3, 6, 10), "head": Shape(10, 2)},
        },
        normal(16, 4, 4, 2),
        [(2, 1), (2, 2), (3, 4), (3, 4), (5, 2)],
        "2 halves; in each the 2 of 4 groups that the second convolution reads together; "
        "in each of those 3 units read and 3 written; 5 units written by each half",
    ),
    from_shapes(
        "resized-map",
        resized,
        {
            **{"conv_1": Shape(3, 3, 2, 4), "conv_2": Shape(3, 3, 4, 5)},
            "conv_3": Shape(1, 1, 5, 2),
        },
        normal(4, 4, 4, 2),
        [(4, 1), (5, 1)],
        "one a hidden layer; interpolation mixes positions alone",
    ),
]
