"""Layers shared by the families.

Parameters are declared here with zeros; `initial.draw` gives them their values.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from linconn_jax.models.conv import conv
from linconn_jax.typing import Array

NORMS = ("layer", "batch", "none")
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}
EPSILON = 1e-5


def _declare(module: nn.Module, name: str, shape: tuple[int, ...]) -> Array:
    """A float32 parameter of zeros, whatever the default precision is."""
    return module.param(name, nn.initializers.zeros, shape, jnp.float32)


class Dense(nn.Module):
    """`inputs @ kernel + bias` over the last axis, kernel `[inputs, features]`."""

    features: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Maps `[n, inputs]` to `[n, features]`."""
        kernel = _declare(self, "kernel", (inputs.shape[-1], self.features))
        bias = _declare(self, "bias", (self.features,))
        return inputs @ kernel + bias[None, :]


class Conv(nn.Module):
    """A `size`×`size` convolution, kernel `[size, size, inputs, features]` (HWIO)."""

    features: int
    size: int = 3
    stride: int = 1
    use_bias: bool = True

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> Array:
        """Maps `[n, height, width, inputs]` to `[n, rows, columns, features]`."""
        shape = (self.size, self.size, inputs.shape[-1], self.features)
        kernel = _declare(self, "kernel", shape)
        outputs = conv(inputs, kernel, stride=self.stride, train=train)
        if not self.use_bias:
            return outputs
        return outputs + _declare(self, "bias", shape[-1:])[None, None, None, :]


def normalize(
    inputs: Array, *, norm: str, name: str, train: bool, axis_name: str | None
) -> Array:
    """Adds the norm layer `name` to the module that is being called.

    Args:
      inputs: `[n, ..., channels]`.
      norm: "layer" normalises over the channels of each position; "batch" over examples
        and positions of each channel (running statistics with momentum 0.9, biased
        variance; the batch's own when `train`); "none" returns `inputs`.
      name: of the norm layer.
      train: whether "batch" uses and updates with the batch's statistics.
      axis_name: mapped axis over which "batch" also averages its statistics.
    """
    if norm == "none":
        return inputs
    shared = {"epsilon": EPSILON, "use_fast_variance": False, "name": name}
    if norm == "layer":
        return nn.LayerNorm(**shared)(inputs)
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        axis_name=axis_name if train else None,
        **shared,
    )(inputs)


def numbered(name: str, index: int, count: int) -> str:
    """`conv_03` for the third of 13: padded, so that names sort in the order of depth."""
    return f"{name}_{index:0{len(str(count))}d}"
