"""Multilayer perceptrons: `depth` hidden layers of `width` units."""

from collections.abc import Sequence

from flax import linen as nn

from linconn_jax.models import base
from linconn_jax.models.layers import (
    ACTIVATIONS,
    Dense,
    kernel_axes,
    norm_axes,
    normalize,
    numbered,
    read,
)
from linconn_jax.permutation import Spec
from linconn_jax.typing import Array


class MLP(nn.Module):
    """flatten → (dense → norm → activation) × depth → dense."""

    width: int
    depth: int
    activation: str
    norm: str
    classes: int

    @nn.compact
    def __call__(
        self, images: Array, *, train: bool = False, axis_name: str | None = None
    ) -> Array:
        """Maps `[n, height, width, channels]` to logits `[n, classes]`."""
        x = images.reshape(images.shape[0], -1)
        for dense, norm in layer_names(self.depth):
            x = Dense(self.width, name=dense)(x)
            read(self, "linear", dense, x)
            if self.norm != "none":
                x = normalize(x, self.norm, name=norm, train=train, axis_name=axis_name)
                read(self, "norm", dense, x)
            x = ACTIVATIONS[self.activation](x)
            read(self, "relu", dense, x)
        return Dense(self.classes, name="head")(x)


def build(
    image_shape: tuple[int, int, int],
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    width: int,
    depth: int = 3,
    activation: str = "relu",
    norm: str = "none",
) -> base.Model:
    """The MLP as a `Model`; any image size, flattened."""
    base.check_at_least("width", width, 1)
    base.check_at_least("depth", depth, 1)
    base.check_activation(activation)
    base.check_norm(norm)
    return base.from_linen(
        MLP(width, depth, activation, norm, classes),
        spec(depth, norm),
        name=f"mlp-{depth}x{width}-{norm}",
        image_shape=image_shape,
        classes=classes,
        mean=mean,
        std=std,
    )


def layer_names(depth: int) -> list[tuple[str, str]]:
    """Names of the dense and norm layers, from the input to the output."""
    return [
        (numbered("dense", i, depth), numbered("norm", i, depth))
        for i in range(1, depth + 1)
    ]


def spec(depth: int, norm: str) -> Spec:
    """One axis name for each hidden layer, that of its dense layer."""
    params, before = {}, None
    for dense, _ in layer_names(depth):
        params[dense] = kernel_axes(before, dense)
        before = dense
    params["head"] = kernel_axes(before, None)
    norms, stats = norm_axes(norm, {n: dense for dense, n in layer_names(depth)})
    tree = {"params": params | norms}
    return tree | {"batch_stats": stats} if stats else tree
