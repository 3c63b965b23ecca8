"""Layers shared by the families, their initialisers, and the labels of their axes."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from linconn_jax.models.conv import conv
from linconn_jax.permutation import Axes
from linconn_jax.permutation.spec import Axis
from linconn_jax.typing import Array, Key

NORMS = ("layer", "batch", "none")
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}
EPSILON = 1e-5

kaiming = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
"""Kaiming normal: variance 2 / fan-in, not truncated (He et al. 2015)."""


def uniform_bias(fan_in: int) -> Callable[[Key, tuple[int, ...]], Array]:
    """Uniform on ±1/√fan_in, as PyTorch draws the biases of its layers."""
    bound = fan_in**-0.5

    def init(key: Key, shape: tuple[int, ...]) -> Array:
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return init


class Dense(nn.Module):
    """`inputs @ kernel + bias` over the last axis, kernel `[inputs, features]`."""

    features: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Maps `[n, inputs]` to `[n, features]`."""
        fan_in = inputs.shape[-1]
        kernel = self.param("kernel", kaiming, (fan_in, self.features))
        bias = self.param("bias", uniform_bias(fan_in), (self.features,))
        return inputs @ kernel + bias[None, :]


class Conv(nn.Module):
    """A `size`×`size` convolution, kernel `[size, size, inputs, features]` (HWIO)."""

    features: int
    size: int = 3
    stride: int = 1
    use_bias: bool = True
    kernel_init: Callable = kaiming

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Maps `[n, height, width, inputs]` to `[n, rows, columns, features]`."""
        shape = (self.size, self.size, inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        outputs = conv(inputs, kernel, stride=self.stride)
        if not self.use_bias:
            return outputs
        fan_in = self.size**2 * inputs.shape[-1]
        bias = self.param("bias", uniform_bias(fan_in), (self.features,))
        return outputs + bias[None, None, None, :]


def normalize(
    inputs: Array, norm: str, *, name: str, train: bool, axis_name: str | None
) -> Array:
    """The norm layer `name` of a linen module that is being called.

    Args:
      inputs: `[n, ..., channels]`.
      norm: "layer" normalises over the channels of each position; "batch" over examples
        and positions of each channel (running statistics with momentum 0.9, biased
        variance; the batch's own when `train`); "none" returns `inputs`.
      name: of the layer.
      train: whether "batch" uses and updates with the batch's statistics.
      axis_name: mapped axis over which "batch" also averages its statistics.
    """
    if norm == "layer":
        layer = nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False, name=name)
        return layer(inputs)
    if norm == "batch":
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            epsilon=EPSILON,
            use_fast_variance=False,
            axis_name=axis_name if train else None,
            name=name,
        )(inputs)
    return inputs


def read(module: nn.Module, at: str, axis: str, values: Array) -> None:
    """Offers `values [n, ..., units]` of axis name `axis` at the read point `at`.

    Kept only if the collection `at` is mutable, as tuples in `{"units": {axis: ...}}`.
    """
    module.sow(
        at,
        "units",
        {axis: (values,)},
        init_fn=dict,
        reduce_fn=lambda seen, new: seen | {axis: seen.get(axis, ()) + new[axis]},
    )


def numbered(name: str, index: int, count: int) -> str:
    """`conv_03` for the third of 13: padded, so that names sort in the order of depth."""
    return f"{name}_{index:0{len(str(count))}d}"


def kernel_axes(inputs: Axis, outputs: Axis, *, bias: bool = True) -> dict[str, Axes]:
    """Labels of a dense layer, `kernel [inputs, outputs]` and `bias [outputs]`."""
    axes = {"kernel": Axes(inputs, outputs)}
    return axes | {"bias": Axes(outputs)} if bias else axes


def conv_axes(inputs: Axis, outputs: Axis, *, bias: bool = True) -> dict[str, Axes]:
    """Labels of a convolution, `kernel [size, size, inputs, outputs]` and `bias`."""
    axes = {"kernel": Axes(None, None, inputs, outputs)}
    return axes | {"bias": Axes(outputs)} if bias else axes


def norm_axes(
    norm: str, units: Mapping[str, str]
) -> tuple[dict[str, dict[str, Axes]], dict[str, dict[str, Axes]]]:
    """Labels of norm layers in `params` and in `batch_stats`.

    Args:
      norm: one of `NORMS`.
      units: `{name of the norm layer: axis name of its channels}`.
    """
    if norm == "none":
        return {}, {}
    params = {k: {"scale": Axes(v), "bias": Axes(v)} for k, v in units.items()}
    stats = {k: {"mean": Axes(v), "var": Axes(v)} for k, v in units.items()}
    return params, stats if norm == "batch" else {}
