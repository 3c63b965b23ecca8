"""Multilayer perceptrons: `depth` hidden layers of `width` units."""

from collections.abc import Sequence

from flax import linen as nn

from linconn_jax.checks import check, one_of
from linconn_jax.models.base import Model
from linconn_jax.models.layers import (
    ACTIVATIONS,
    NORMS,
    Dense,
    normalize,
    numbered,
)
from linconn_jax.models.linen import from_linen
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
        """Maps `[n, ...]` to logits `[n, classes]`."""
        shared = {"norm": self.norm, "train": train, "axis_name": axis_name}
        x = images.reshape(images.shape[0], -1)
        for dense, norm in layer_names(self.depth):
            x = Dense(self.width, name=dense)(x)
            x = ACTIVATIONS[self.activation](normalize(x, name=norm, **shared))
        return Dense(self.classes, name="head")(x)


def build(
    image_shape: tuple[int, ...],
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    width: int,
    depth: int = 3,
    activation: str = "relu",
    norm: str = "none",
) -> Model:
    """The MLP as a `Model`; inputs of any shape, flattened."""
    check("activation", activation, one_of(*ACTIVATIONS))
    check("norm", norm, one_of(*NORMS))
    return from_linen(
        MLP(width, depth, activation, norm, classes),
        family=f"mlp-{depth}xW-{activation}-{norm}",
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
