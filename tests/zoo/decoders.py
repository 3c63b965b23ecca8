"""Decoders as plain functions: fused attention kernels, rotary positions, SwiGLU."""

import functools
from typing import NamedTuple

import jax
from jax import numpy as jnp

from zoo.attention import GPT_GROUPS
from zoo.case import Shape, from_shapes, normal, tokens


class Norm(NamedTuple):
    scale: jax.Array
    bias: jax.Array

    def __call__(self, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5)
        return dense(x * self.scale[None, None], None, self.bias)


class Dense(NamedTuple):
    kernel: jax.Array
    bias: jax.Array

    def __call__(self, x):
        return dense(x, self.kernel, self.bias)


class Layer(NamedTuple):
    norm_1: Norm
    qkv: Dense
    out: Dense
    norm_2: Norm
    up: Dense
    down: Dense


def dense(x, kernel, bias):
    x = x if kernel is None else x @ kernel
    return x + bias[None, None]


def causal_attention(q, k, v):
    """`[n, time, heads, size]` each; every time sees itself and those before."""
    scores = jnp.einsum("nqhe,nkhe->nhqk", q, k) * q.shape[-1] ** -0.5
    mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))[None, None]
    weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
    return jnp.einsum("nhqk,nkhe->nqhe", weights, v)


def split_then_heads(qkv, heads):
    """Axis of all queries, all keys, all values (GPT-2)."""
    parts = jnp.split(qkv, 3, axis=-1)
    return [part.reshape(*part.shape[:2], heads, -1) for part in parts]


def heads_then_split(qkv, heads):
    """Axis of heads, each with its query, key and value (GPT-NeoX)."""
    return jnp.split(qkv.reshape(*qkv.shape[:2], heads, -1), 3, axis=-1)


def gpt(variables, ids, *, heads, unfuse):
    x = variables["embed"][ids] + variables["positions"][None]
    for layer in variables["layers"]:
        q, k, v = unfuse(layer.qkv(layer.norm_1(x)), heads)
        x = x + layer.out(causal_attention(q, k, v).reshape(x.shape))
        x = x + layer.down(jax.nn.gelu(layer.up(layer.norm_2(x))))
    return variables["norm"](x) @ variables["embed"].T


def gpt_shapes(vocabulary, context, width, units, depth):
    norm = Norm(Shape(width), Shape(width))

    def kernel(i, o):
        return Dense(Shape(i, o), Shape(o))

    layer = Layer(
        norm,
        kernel(width, 3 * width),
        kernel(width, width),
        norm,
        kernel(width, units),
        kernel(units, width),
    )
    return {
        "embed": Shape(vocabulary, width),
        "positions": Shape(context, width),
        "layers": [layer] * depth,
        "norm": norm,
    }


def rotate(x):
    """Rotary positions: places i and i + size/2 of a head turn by time × frequency."""
    _, time, *_, size = x.shape
    angle = jnp.outer(jnp.arange(time), 100.0 ** (-jnp.arange(size // 2) / size))
    angle = jnp.expand_dims(angle.astype(x.dtype), (0, *range(2, x.ndim - 1)))
    a, b = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def llama(v, ids, *, shared, heads):
    """RMS norms, `heads` query heads for each of `shared` key-value heads, SwiGLU."""
    x = v["embed"][ids]
    n, time, _ = x.shape
    y = rms_norm(x, v["scale_1"])
    q = rotate((y @ v["q"]).reshape(n, time, shared, heads, -1))
    k = rotate((y @ v["k"]).reshape(n, time, shared, -1))
    value = (y @ v["v"]).reshape(n, time, shared, -1)
    scores = jnp.einsum("nqghe,nkge->nghqk", q, k)
    mask = jnp.arange(time)[:, None] >= jnp.arange(time)[None]
    scores = jnp.where(mask[None, None, None], scores, -1e9)
    weights = jax.nn.softmax(scores, axis=-1)
    out = jnp.einsum("nghqk,nkge->nqghe", weights, value).reshape(n, time, -1)
    x = x + out @ v["out"]
    x = x + swiglu(v["mlp"], rms_norm(x, v["scale_2"]))
    return rms_norm(x, v["scale_3"]) @ v["head"]


def rms_norm(x, scale):
    return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale[None, None]


def swiglu(v, x):
    return (jax.nn.silu(x @ v["gate"]) * (x @ v["up"])) @ v["down"]


def fused_glu(v, x):
    """Gate and value from one kernel, cut in halves."""
    gate, value = jnp.split(x @ v["kernel"] + v["bias"][None], 2, axis=-1)
    return (jax.nn.sigmoid(gate) * value) @ v["down"]


LLAMA = {
    **{"embed": Shape(11, 7), "head": Shape(7, 11), "q": Shape(7, 36)},
    **{"k": Shape(7, 12), "v": Shape(7, 12), "out": Shape(36, 7)},
    **{f"scale_{i}": Shape(7) for i in (1, 2, 3)},
    "mlp": {"gate": Shape(7, 5), "up": Shape(7, 5), "down": Shape(5, 7)},
}

CASES = [
    *(
        from_shapes(
            f"gpt-{unfuse.__name__}",
            functools.partial(gpt, heads=3, unfuse=unfuse),
            gpt_shapes(vocabulary=11, context=5, width=12, units=7, depth=2),
            tokens(3, 5, 11),
            GPT_GROUPS,
            "that of the linen decoder, whichever way the kernels of query, key and "
            "value are fused",
        )
        for unfuse in (split_then_heads, heads_then_split)
    ),
    from_shapes(
        "llama",
        functools.partial(llama, shared=3, heads=3),
        LLAMA,
        tokens(3, 5, 11),
        [(7, 1), (3, 1), (3, 3), (4, 3), (5, 1)],
        "the stream; key-value heads; the query heads of each; the value-output "
        "dimensions of each key-value head, which its query heads share; SwiGLU's units. "
        "Query-key dimensions turn by different frequencies, so they stay",
    ),
    from_shapes(
        "swiglu",
        swiglu,
        {"gate": Shape(3, 6), "up": Shape(3, 6), "down": Shape(6, 2)},
        normal(8, 3),
        [(6, 1)],
        "gate and value meet in a product, unit by unit",
    ),
    from_shapes(
        "glu-fused",
        fused_glu,
        {"kernel": Shape(3, 12), "bias": Shape(12), "down": Shape(6, 2)},
        normal(8, 3),
        [(6, 1)],
        "as SwiGLU: the kernel's output axis is the same 6 units twice",
    ),
]
