"""The distribution of a network's variables at initialisation."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from linconn_jax import trees
from linconn_jax.typing import Array, Key, PyTree, Variables


def draw(key: Key, shapes: PyTree, *, zero: tuple[str, ...] = ()) -> Variables:
    """Float32 variables drawn as for the paper's networks (PyTorch's layers).

    | leaf | value |
    |---|---|
    | kernel | normal, variance 2 / fan-in (He et al. 2015), not truncated |
    | bias beside a kernel | uniform on ±1/√fan-in |
    | scale; bias of a norm layer | 1; 0 |
    | running mean; running variance | 0; 1 |

    All kernels come from one call of the generator and all biases from another: to
    compile it for each layer takes seconds for a deep network.

    Args:
      key: one key for the whole network.
      shapes: tree of `jax.ShapeDtypeStruct` with the structure of the variables.
      zero: names of layers whose kernels start at zero instead.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(shapes)
    shape = {trees.path_name(path): leaf.shape for path, leaf in paths}
    fan_in = {_layer(n): math.prod(shape[n][:-1]) for n in shape if _is(n, "kernel")}
    std = {
        f"{layer}/kernel": 0.0 if _is(layer, *zero) else (2 / n) ** 0.5
        for layer, n in fan_in.items()
    }
    bound = {
        f"{layer}/bias": n**-0.5
        for layer, n in fan_in.items()
        if f"{layer}/bias" in shape
    }
    of_kernels, of_biases = jax.random.split(key)
    uniform = partial(jax.random.uniform, of_biases, minval=-1.0, maxval=1.0)
    values = {
        name: jnp.full(shape[name], float(_is(name, "scale", "var")), jnp.float32)
        for name in shape
    }
    values |= _scaled(partial(jax.random.normal, of_kernels), shape, std)
    values |= _scaled(uniform, shape, bound)
    return jax.tree.unflatten(structure, [values[name] for name in shape])


def _scaled(
    sample: Callable[..., Array],
    shape: dict[str, tuple[int, ...]],
    scale: dict[str, float],
) -> dict[str, Array]:
    """One flat sample cut into the named leaves, each times its scale."""
    sizes = [math.prod(shape[name]) for name in scale]
    parts = jnp.split(sample((sum(sizes),), dtype=jnp.float32), np.cumsum(sizes)[:-1])
    return {
        name: part.reshape(shape[name]) * scale[name]
        for name, part in zip(scale, parts, strict=True)
    }


def _layer(path: str) -> str:
    return path.rpartition("/")[0]


def _is(path: str, *last: str) -> bool:
    """Whether the last part of `path` is one of `last`."""
    return path.rpartition("/")[2] in last
