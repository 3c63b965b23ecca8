"""Haiku: transformed functions over dicts of parameters, and of state."""

import haiku as hk
import jax
from jax import numpy as jnp

from zoo.case import Case, from_structs, normal


def lstm(x):
    core = hk.LSTM(5)
    x, _ = hk.dynamic_unroll(core, x, core.initial_state(len(x)), time_major=False)
    return hk.Linear(2)(x)


def attention(x):
    x = hk.Linear(12)(x)
    y = hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)
    initial = hk.initializers.VarianceScaling()
    x = x + hk.MultiHeadAttention(3, 4, w_init=initial, model_size=12)(y, y, y)
    return hk.nets.MLP([7, 2], activation=jnp.tanh)(x)


def separable(x):
    x = hk.Conv2D(4, 3)(x)
    x = hk.BatchNorm(True, True, 0.9)(x, is_training=hk.running_init())
    x = hk.DepthwiseConv2D(1, 3)(jax.nn.relu(x))
    return hk.Linear(2)(hk.Flatten()(hk.max_pool(x, (2, 2, 1), (2, 2, 1), "VALID")))


def from_haiku(name, function, inputs, groups, note, silent=()) -> Case:
    """The variables are the pair of parameters and state."""
    pure = hk.without_apply_rng(hk.transform_with_state(function))

    def make():
        return jax.eval_shape(pure.init, jax.random.key(0), *inputs())

    def apply(variables, *inputs):
        return pure.apply(*variables, *inputs)[0]

    return from_structs(name, apply, make, inputs, groups, note, silent)


CASES = [
    from_haiku(
        "haiku-lstm",
        lstm,
        normal(4, 6, 3),
        [(5, 1)],
        "the state's units, after the inputs on one axis of the fused kernel and four "
        "times on the other",
    ),
    from_haiku(
        "haiku-attention",
        attention,
        normal(4, 5, 3),
        [(12, 1), (3, 1), (4, 3), (4, 3), (7, 1)],
        "as a layer of ViT",
        silent=("multi_head_attention/key/b",),
    ),
    from_haiku(
        "haiku-depthwise",
        separable,
        normal(8, 4, 4, 3),
        [(4, 1)],
        "one through norm and depthwise convolution; flattened, 4 positions × 4 units",
        silent=("ema/hidden",),
    ),
]
