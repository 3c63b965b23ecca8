"""Convolution and pooling, written so that they are fast on each platform.

On accelerators `conv` is XLA's convolution. On CPU, XLA runs its convolution one to two
orders slower inside a loop (`scan`, `fori_loop`) than outside, and turns a `vmap` over
kernels into a grouped convolution; so there it is written as patches @ kernel, which
keeps its speed in both. `benchmarks/train.py` measures them.
"""

import functools

import jax
import jax.numpy as jnp

from linconn_jax.typing import Array, Float


def conv(
    images: Float[Array, "n height width inputs"],
    kernel: Float[Array, "size size inputs outputs"],
    *,
    stride: int = 1,
    train: bool = False,
) -> Float[Array, "n rows columns outputs"]:
    """Cross-correlation, zero-padded by `size // 2` on each side (odd `size`).

    The padding is symmetric also for stride 2 (PyTorch's `padding=size // 2`; XLA's
    "SAME" pads even maps on one side only): maps shrink to `ceil(height / stride)`.

    Args:
      images: of any size.
      kernel: HWIO.
      stride: along both axes.
      train: on CPU, the gradient is one written by hand, which takes half the time but
        which forward-mode differentiation (`jax.jvp`) refuses; `jax.grad`, and
        `jax.jvp` of it, do not.
    """
    if kernel.shape[0] == 1:
        return images[:, ::stride, ::stride] @ kernel[0, 0]
    if train and stride == 1:
        on_cpu = _conv_to_train
    else:
        on_cpu = functools.partial(conv_as_matmul, stride=stride)
    default = functools.partial(conv_general, stride=stride)
    return jax.lax.platform_dependent(images, kernel, cpu=on_cpu, default=default)


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


@jax.custom_vjp
def _conv_to_train(images: Array, kernel: Array) -> Array:
    """A convolution of stride 1 with a gradient that is two products of its own kind.

    The transposed program would be slow: each slice of the patches becomes a padded map,
    and sums of those are not vectorised.
    """
    return _along_rows(images, kernel)


def _forward(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _along_rows(images, kernel), (images, kernel)


def _backward(known: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """The gradient convolved with the turned kernel; and one product of windows along
    the rows of the images with windows along the columns of the gradient."""
    images, kernel = known
    size, _, inputs, outputs = kernel.shape
    of_images = _along_rows(gradient, kernel[::-1, ::-1].swapaxes(2, 3))
    of_rows, of_columns = _windows(images, size, 2), _windows(gradient, size, 1)
    product = jnp.einsum("nhwi,nhwo->io", of_rows, of_columns)
    of_kernel = product.reshape(size, inputs, size, outputs)[:, :, ::-1]
    return of_images, jnp.moveaxis(of_kernel, 2, 0)


_conv_to_train.defvjp(_forward, _backward)


def _along_rows(images: Array, kernel: Array) -> Array:
    """One product for all rows of the kernel, of windows that the gradient needs too."""
    size, _, inputs, outputs = kernel.shape
    border, height = size // 2, images.shape[1]
    padded = jnp.pad(images, ((0, 0), (border, border), (0, 0), (0, 0)))
    beside = kernel.reshape(size, size * inputs, outputs).swapaxes(0, 1)
    products = _windows(padded, size, 2) @ beside.reshape(size * inputs, -1)
    rows = jnp.split(products, size, axis=-1)
    return sum(row[:, i : i + height] for i, row in enumerate(rows))


def _windows(maps: Array, size: int, axis: int) -> Array:
    """`[n, height, width, size * channels]`: each place and its neighbours on an axis."""
    border, length = size // 2, maps.shape[axis]
    padded = jnp.pad(maps, [(border * (i == axis),) * 2 for i in range(4)])
    shifted = [
        jax.lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(size)
    ]
    return jnp.concatenate(shifted, axis=-1)


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
