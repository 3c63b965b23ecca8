"""A small vision transformer as plain functions, its spec and activations by hand.

Patches of 2×2 pixels are embedded with learned positions; each block adds attention and
then an MLP to the stream, a LayerNorm before each; the mean over tokens is read out.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from linconn_jax.permutation import Axes, Units
from linconn_jax.typing import Array, Key, PyTree

CLASSES = 10


def init(
    key: Key,
    *,
    shape: tuple[int, int, int],
    depth: int,
    width: int,
    heads: int,
    inside: int,
) -> PyTree:
    """Parameters; `inside` dimensions of queries and keys, and of values, a head."""
    rows, columns, channels = shape
    keys = iter(jax.random.split(key, 3 + 6 * depth))

    def kernel(*sizes: int, inputs: int) -> Array:
        return jax.random.normal(next(keys), sizes) / inputs**0.5

    def norm() -> PyTree:
        return {"scale": jnp.ones(width), "bias": jnp.zeros(width)}

    params: dict[str, Any] = {
        "embed": kernel(4 * channels, width, inputs=4 * channels),
        "positions": 0.1 * kernel(rows * columns // 4, width, inputs=1),
        "norm": norm(),
        "head": {
            "kernel": kernel(width, CLASSES, inputs=width),
            "bias": jnp.zeros(CLASSES),
        },
    }
    for i in range(depth):
        params[f"block_{i}"] = {
            "norm_1": norm(),
            "query": kernel(width, heads, inside, inputs=width),
            "key": kernel(width, heads, inside, inputs=width),
            "value": kernel(width, heads, inside, inputs=width),
            "out": kernel(heads, inside, width, inputs=heads * inside),
            "norm_2": norm(),
            "up": {
                "kernel": kernel(width, 2 * width, inputs=width),
                "bias": jnp.zeros(2 * width),
            },
            "down": {
                "kernel": kernel(2 * width, width, inputs=2 * width),
                "bias": jnp.zeros(width),
            },
        }
    return params


def spec(depth: int) -> PyTree:
    """The symmetries: the stream, heads, what is inside each of them, hidden units."""

    def norm() -> PyTree:
        return {"scale": Axes("stream"), "bias": Axes("stream")}

    labels: dict[str, Any] = {
        "embed": Axes(None, "stream"),
        "positions": Axes(None, "stream"),
        "norm": norm(),
        "head": {"kernel": Axes("stream", None), "bias": Axes(None)},
    }
    for i in range(depth):
        heads, hidden = f"block_{i}/heads", f"block_{i}/mlp"
        qk, v = (Units(f"{heads}/{x}", under=heads) for x in ("qk", "v"))
        labels[f"block_{i}"] = {
            "norm_1": norm(),
            "query": Axes("stream", heads, qk),
            "key": Axes("stream", heads, qk),
            "value": Axes("stream", heads, v),
            "out": Axes(heads, v, "stream"),
            "norm_2": norm(),
            "up": {"kernel": Axes("stream", hidden), "bias": Axes(hidden)},
            "down": {"kernel": Axes(hidden, "stream"), "bias": Axes("stream")},
        }
    return labels


def apply(params: PyTree, images: Array) -> Array:
    """Logits of uint8 images."""
    return _run(params, images)[0]


def activations(params: PyTree, images: Array, *, at: str = "relu") -> dict[str, Array]:
    """Of all names but heads, which are matched by what is inside them."""
    return _run(params, images)[1]


def _run(params: PyTree, images: Array) -> tuple[Array, dict[str, Array]]:
    n, rows, columns, channels = images.shape
    x = (images.astype(jnp.float32) / 255 - 0.3) / 0.4
    x = x.reshape(n, rows // 2, 2, columns // 2, 2, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, 4 * channels)
    x = x @ params["embed"] + params["positions"][None]
    read: dict[str, Array] = {}
    for i in range(sum(name.startswith("block") for name in params)):
        x, inner = _block(params[f"block_{i}"], x)
        read |= {f"block_{i}/{name}": value for name, value in inner.items()}
    x = _norm(params["norm"], x)
    read["stream"] = x.reshape(-1, x.shape[-1])
    return _dense(params["head"], x.mean(axis=1)), read


def _block(block: PyTree, x: Array) -> tuple[Array, dict[str, Array]]:
    y = _norm(block["norm_1"], x)
    project = functools.partial(jnp.einsum, "nts,shi->nthi", y)
    q, k, v = (project(block[name]) for name in ("query", "key", "value"))
    scores = jnp.einsum("nthi,nuhi->nhtu", q, k) / q.shape[-1] ** 0.5
    mixed = jnp.einsum("nhtu,nuhi->nthi", jax.nn.softmax(scores), v)
    x = x + jnp.einsum("nthi,his->nts", mixed, block["out"])
    hidden = jax.nn.gelu(_dense(block["up"], _norm(block["norm_2"], x)))
    flat = {
        "heads/qk": jnp.concatenate([q, k]),
        "heads/v": v,
        "mlp": hidden,
    }
    read = {name: z.reshape(-1, *z.shape[2:]) for name, z in flat.items()}
    return x + _dense(block["down"], hidden), read


def _dense(layer: PyTree, x: Array) -> Array:
    wide = (1,) * (x.ndim - 1)
    return x @ layer["kernel"] + layer["bias"].reshape(*wide, -1)


def _norm(norm: PyTree, x: Array) -> Array:
    wide = (1,) * (x.ndim - 1)
    centred = x - x.mean(axis=-1, keepdims=True)
    x = centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    return x * norm["scale"].reshape(*wide, -1) + norm["bias"].reshape(*wide, -1)
