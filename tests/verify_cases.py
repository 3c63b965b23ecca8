"""Small functions with their right specs, as `verify` is to find them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from spec_mutants import sized

from linconn_jax.permutation import Axes, Block, Concat, Stacked, Units


def struct(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    apply: Callable[..., Any]
    spec: Any
    variables: Any
    inputs: tuple

    def __str__(self) -> str:
        return self.name


def _case(name: str, apply: Any, leaves: dict, *inputs: Any) -> Case:
    """`leaves` maps a name to (shape, axes)."""
    variables = {key: struct(*shape) for key, (shape, _) in leaves.items()}
    spec = sized({key: axes for key, (_, axes) in leaves.items()}, variables)
    return Case(name, apply, spec, variables, inputs)


def mlp(v, x):
    x = jnp.tanh(x @ v["w1"] + v["b1"][None])
    x = jnp.tanh(x @ v["w2"] + v["b2"][None])
    return x @ v["w3"]


def conv(v, x):
    x = jax.lax.conv_general_dilated(
        x, v["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jax.nn.relu(x * v["scale"] + v["bias"])
    return jax.nn.relu(x.reshape(len(x), -1) @ v["dense"]) @ v["head"]


def attention(v, x):
    """Two heads of three dimensions, biases, and a residual stream."""
    x = x @ v["in"]
    q, k, y = (
        jnp.einsum("btd,dhk->bthk", x, v[f"w{n}"]) + v[f"b{n}"][None, None]
        for n in "qkv"
    )
    scores = jax.nn.softmax(jnp.einsum("bqhk,bthk->bhqt", q, k))
    y = jnp.einsum("bhqt,bthk->bqhk", scores, y)
    x = x + jnp.einsum("bqhk,hkd->bqd", y, v["wo"])
    return jnp.tanh(x) @ v["out"]


def stack(v, x):
    """Residual layers of their own, stacked for a scan."""

    def layer(x, p):
        return x + jnp.tanh(x @ p["up"] + p["bias"][None]) @ p["down"], None

    x, _ = jax.lax.scan(layer, x @ v["in"], {k: v[k] for k in ("up", "bias", "down")})
    return jnp.tanh(x) @ v["out"]


def dense(v, x):
    """A skip that concatenates, then fused gates: a plain recurrent step."""
    a = jnp.tanh(x @ v["first"])
    x = jnp.concatenate([a, jnp.tanh(a @ v["second"])], axis=1)
    h = jnp.tanh(x @ v["start"])
    for _ in range(2):
        gate, value = jnp.split(x @ v["input"] + h @ v["hidden"], 2, axis=1)
        h = jax.nn.sigmoid(gate) * h + jnp.tanh(value)
    return h @ v["head"]


_QK = Units("qk", under="heads")
_VO = Units("vo", under="heads")

CASES = [
    _case(
        "mlp",
        mlp,
        {
            "w1": ((4, 4), Axes(None, "one")),
            "b1": ((4,), Axes("one")),
            "w2": ((4, 4), Axes("one", "two")),
            "b2": ((4,), Axes("two")),
            "w3": ((4, 2), Axes("two", None)),
        },
        struct(6, 4),
    ),
    _case(
        "conv",
        conv,
        {
            "kernel": ((3, 3, 2, 4), Axes(None, None, None, "conv")),
            "scale": ((1, 1, 1, 4), Axes(None, None, None, "conv")),
            "bias": ((1, 1, 1, 4), Axes(None, None, None, "conv")),
            "dense": ((16, 5), Axes(Block(4, "conv"), "dense")),
            "head": ((5, 3), Axes("dense", None)),
        },
        struct(6, 2, 2, 2),
    ),
    _case(
        "attention",
        attention,
        {
            "in": ((5, 6), Axes(None, "stream")),
            "wq": ((6, 2, 3), Axes("stream", "heads", _QK)),
            "bq": ((2, 3), Axes("heads", _QK)),
            "wk": ((6, 2, 3), Axes("stream", "heads", _QK)),
            "bk": ((2, 3), Axes("heads", _QK)),
            "wv": ((6, 2, 3), Axes("stream", "heads", _VO)),
            "bv": ((2, 3), Axes("heads", _VO)),
            "wo": ((2, 3, 6), Axes("heads", _VO, "stream")),
            "out": ((6, 4), Axes("stream", None)),
        },
        struct(3, 4, 5),
    ),
    _case(
        "stack",
        stack,
        {
            "in": ((5, 6), Axes(None, "stream")),
            "up": ((2, 6, 4), Stacked(*(Axes("stream", f"mlp_{i}") for i in range(2)))),
            "bias": ((2, 4), Stacked(*(Axes(f"mlp_{i}") for i in range(2)))),
            "down": (
                (2, 4, 6),
                Stacked(*(Axes(f"mlp_{i}", "stream") for i in range(2))),
            ),
            "out": ((6, 2), Axes("stream", None)),
        },
        struct(6, 5),
    ),
    _case(
        "dense",
        dense,
        {
            "first": ((3, 4), Axes(None, "first")),
            "second": ((4, 4), Axes("first", "second")),
            "start": ((8, 5), Axes(Concat("first", "second"), "h")),
            "input": ((8, 10), Axes(Concat("first", "second"), Concat("h", "h"))),
            "hidden": ((5, 10), Axes("h", Concat("h", "h"))),
            "head": ((5, 2), Axes("h", None)),
        },
        struct(6, 3),
    ),
]
