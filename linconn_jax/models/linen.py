"""`from_linen`: this project's linen modules as `Model`s."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from linconn_jax.models import initial
from linconn_jax.models.base import Logits, Model
from linconn_jax.typing import Array, Float, Key, PyTree, UInt8, Variables

Images = UInt8[Array, "n ..."] | Float[Array, "n ..."]


def from_linen(
    module: nn.Module,
    *,
    family: str,
    image_shape: tuple[int, ...],
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    zero: tuple[str, ...] = (),
) -> Model:
    """Wraps a linen module `(images, *, train, axis_name) -> logits` that has a `width`.

    The model's variables are `{"params": ...}`, and "batch_stats" when the norm is
    "batch". uint8 images are scaled to [0, 1] and normalised per channel; float images
    are taken as normalised.

    Layers named in `zero` start with zero kernels. `family` is the name with W for the
    width.
    """
    name = family.replace("W", str(module.width))
    example = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    per_channel = (1,) * len(image_shape) + (-1,)
    centre = np.asarray(mean, np.float64).reshape(per_channel)
    spread = np.asarray(std, np.float64).reshape(per_channel)

    @functools.cache
    def shapes() -> PyTree:
        collections = ["params", "batch_stats"]
        init = functools.partial(module.init, mutable=collections)
        return jax.eval_shape(init, jax.random.key(0), example)

    @jax.jit
    def init(key: Key) -> Variables:
        return initial.draw(key, shapes(), zero=zero)

    def inputs(variables: Variables, images: Images) -> Array:
        if images.shape[1:] != image_shape:
            raise ValueError(
                f"images have shape {images.shape}; {name} was built for "
                f"[n, {', '.join(map(str, image_shape))}]: build it with "
                f"image_shape={images.shape[1:]}"
            )
        dtype = jax.tree.leaves(variables["params"])[0].dtype
        if jnp.issubdtype(images.dtype, jnp.floating):
            return images.astype(dtype)
        if images.dtype != jnp.uint8:
            raise ValueError(
                f"images have dtype {images.dtype}; they must be uint8, which are "
                "normalised here, or floats, which are taken as normalised"
            )
        scale = jnp.asarray(1 / (255 * spread), dtype)
        shift = jnp.asarray(centre / spread, dtype)
        return images.astype(dtype) * scale - shift

    def apply(
        variables: Variables,
        images: Images,
        *,
        train: bool = False,
        axis_name: str | None = None,
    ) -> Logits | tuple[Logits, PyTree]:
        x = inputs(variables, images)
        if not train:
            return module.apply(variables, x)
        logits, updated = module.apply(
            variables, x, train=True, axis_name=axis_name, mutable=["batch_stats"]
        )
        return logits, updated.get("batch_stats", {})

    return Model(name, init, apply, None, image_shape, classes, family)
