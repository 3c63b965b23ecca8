"""What the speed benchmarks share: networks, random images, and fair timing."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from linconn_jax import models
from linconn_jax.typing import Array, PyTree

CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, as the library's model and as flax's own layers.

    Attributes:
      shape: of an image.
      options: of `models.build`.
      linen: the same network written with flax's layers, so with XLA's convolution.
      steps: training steps that one measurement takes.
      examples: examples that one measurement evaluates.
    """

    shape: tuple[int, int, int]
    options: dict
    linen: nn.Module
    steps: int
    examples: int

    def model(self) -> models.Model:
        """The library's model."""
        channels = self.shape[-1]
        return models.build(
            image_shape=self.shape,
            classes=CLASSES,
            mean=(0.5,) * channels,
            std=(0.25,) * channels,
            **self.options,
        )

    def apply_linen(self, variables: PyTree, images: Array) -> Array:
        """Logits of the flax network on uint8 images."""
        return self.linen.apply(variables, images.astype(jnp.float32) / 63.75 - 2)

    def init_linen(self, key: Array) -> PyTree:
        """Variables of the flax network."""
        return self.linen.init(key, jnp.zeros((1, *self.shape)))

    def data(self, examples: int) -> tuple[np.ndarray, np.ndarray]:
        """Random images and labels."""
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (examples, *self.shape), np.uint8)
        return images, rng.integers(0, CLASSES, examples, np.int32)


class PlainMLP(nn.Module):
    """The MLP as flax's layers."""

    width: int

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Logits."""
        x = images.reshape(len(images), -1)
        for i in range(3):
            x = nn.relu(nn.Dense(self.width, name=f"dense_{i}")(x))
        return nn.Dense(CLASSES, name="head")(x)


class PlainVGG(nn.Module):
    """VGG-16 with LayerNorm as flax's layers."""

    width: int

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Logits."""
        x = images
        stages = zip((2, 2, 3, 3, 3), (1, 2, 4, 8, 8), strict=True)
        for stage, (convs, factor) in enumerate(stages):
            if stage:
                x = nn.max_pool(x, (2, 2), (2, 2))
            for i in range(convs):
                x = nn.Conv(self.width * factor, (3, 3), name=f"conv_{stage}_{i}")(x)
                x = nn.relu(nn.LayerNorm(name=f"norm_{stage}_{i}")(x))
        return nn.Dense(CLASSES, name="head")(x.mean(axis=(1, 2)))


CASES = {
    "mlp_64": Case(
        (8, 8, 1), {"family": "mlp", "width": 64}, PlainMLP(64), 1000, 20_000
    ),
    "mlp_512": Case(
        (28, 28, 1), {"family": "mlp", "width": 512}, PlainMLP(512), 50, 5_000
    ),
    "vgg_8": Case((32, 32, 3), {"family": "vgg", "width": 8}, PlainVGG(8), 1, 500),
}


def medians(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds that each takes; they take turns, and the first round does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def big_matmul() -> tuple[Callable[[], object], float]:
    """A 2048×2048 float32 product, to know the machine by, and its operations."""
    size = 2048
    a = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    return lambda: jax.block_until_ready(product(a)), 2.0 * size**3


def show(name: str, row: Mapping[str, float]) -> None:
    """Prints a line of figures."""
    print(f"{name}: " + ", ".join(f"{k} {v:.3g}" for k, v in row.items()), flush=True)
