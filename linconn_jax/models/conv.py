"""Convolution and pooling, written so that they are fast on each platform.

On accelerators `conv` is XLA's convolution. On CPU, XLA runs its convolution one to two
orders slower inside a loop (`scan`, `fori_loop`) than outside, and turns a `vmap` over
kernels into a grouped convolution; so there it is written as patches @ kernel, which
keeps its speed in both. `benchmarks/train.py` measures a VGG.
"""

import jax
import jax.numpy as jnp

from linconn_jax.typing import Array, Float


def conv(
    images: Float[Array, "n height width inputs"],
    kernel: Float[Array, "size size inputs outputs"],
    *,
    stride: int = 1,
) -> Float[Array, "n rows columns outputs"]:
    """Cross-correlation, zero-padded by `size // 2` on each side (odd `size`).

    The padding is symmetric also for stride 2 (PyTorch's `padding=size // 2`; XLA's
    "SAME" pads even maps on one side only): maps shrink to `ceil(height / stride)`.
    """
    if kernel.shape[0] == 1:
        return _pointwise(images[:, ::stride, ::stride], kernel)
    return jax.lax.platform_dependent(
        images,
        kernel,
        cpu=lambda x, k: conv_as_matmul(x, k, stride=stride),
        default=lambda x, k: conv_general(x, k, stride=stride),
    )


def conv_general(
    images: Float[Array, "n height width inputs"],
    kernel: Float[Array, "size size inputs outputs"],
    *,
    stride: int = 1,
) -> Float[Array, "n rows columns outputs"]:
    """`conv` as XLA's own convolution."""
    border = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        window_strides=(stride, stride),
        padding=[(border, border), (border, border)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def conv_as_matmul(
    images: Float[Array, "n height width inputs"],
    kernel: Float[Array, "size size inputs outputs"],
    *,
    stride: int = 1,
) -> Float[Array, "n rows columns outputs"]:
    """`conv` as one matrix product of patches and kernel."""
    size, _, inputs, outputs = kernel.shape
    patches = _patches(images, size, stride)
    return patches @ kernel.reshape(size * size * inputs, outputs)


def max_pool(
    images: Float[Array, "n height width channels"],
) -> Float[Array, "n rows columns channels"]:
    """Maximum over 2×2 windows; an odd last row or column is dropped (as in PyTorch)."""
    n, height, width, channels = images.shape
    rows, columns = height // 2, width // 2
    windows = images[:, : 2 * rows, : 2 * columns]
    return windows.reshape(n, rows, 2, columns, 2, channels).max(axis=(2, 4))


def _pointwise(images: Array, kernel: Array) -> Array:
    return images @ kernel[0, 0]


def _patches(images: Array, size: int, stride: int) -> Array:
    """`[n, rows, columns, size * size * inputs]`, ordered as a kernel's first axes."""
    border = size // 2
    _, height, width, _ = images.shape
    padded = jnp.pad(images, ((0, 0), (border, border), (border, border), (0, 0)))
    shifted = [
        padded[:, i : i + height : stride, j : j + width : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(shifted, axis=-1)
