"""Equinox: the arrays of a module, partitioned from the rest; one example at a time."""

import functools

import equinox as eqx
import jax
from jax import numpy as jnp

from zoo.case import Case, from_structs, normal


class Conv(eqx.Module):
    """Channels first; group norm; flattened, with the units slowest."""

    conv_1: eqx.nn.Conv2d
    norm: eqx.nn.GroupNorm
    conv_2: eqx.nn.Conv2d
    pool: eqx.nn.AvgPool2d
    dense: eqx.nn.MLP

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.conv_1 = eqx.nn.Conv2d(2, 6, 3, padding=1, key=keys[0])
        self.norm = eqx.nn.GroupNorm(2, 6)
        self.conv_2 = eqx.nn.Conv2d(6, 5, 3, key=keys[1])
        self.pool = eqx.nn.AvgPool2d(2, 2)
        self.dense = eqx.nn.MLP(5 * 4, 2, 7, 2, key=keys[2])

    def __call__(self, x):
        x = jax.nn.relu(self.norm(self.conv_1(x)))
        x = self.pool(jax.nn.relu(self.conv_2(x)))
        return self.dense(x.reshape(-1))


class Recurrent(eqx.Module):
    """A GRU scanned over time."""

    cell: eqx.nn.GRUCell
    head: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key)
        self.cell = eqx.nn.GRUCell(3, 5, key=keys[0])
        self.head = eqx.nn.Linear(5, 2, key=keys[1])

    def __call__(self, x):
        first = jnp.zeros(5, x.dtype)
        state, _ = jax.lax.scan(lambda h, x: (self.cell(x, h), None), first, x)
        return self.head(state)


class Attention(eqx.Module):
    """One attention layer in a residual stream."""

    first: eqx.nn.Linear
    norm: eqx.nn.LayerNorm
    attention: eqx.nn.MultiheadAttention
    head: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.first = eqx.nn.Linear(3, 8, key=keys[0])
        self.norm = eqx.nn.LayerNorm(8)
        self.attention = eqx.nn.MultiheadAttention(
            2, 8, qk_size=3, vo_size=5, use_query_bias=True, key=keys[1]
        )
        self.head = eqx.nn.Linear(8, 2, key=keys[2])

    def __call__(self, x):
        x = jax.vmap(self.first)(x)
        y = jax.vmap(self.norm)(x)
        x = x + self.attention(y, y, y)
        return jax.vmap(self.head)(x)


def from_equinox(name, module, inputs, groups, note) -> Case:
    """The variables are the module's arrays, with None in the place of all else."""

    @functools.cache
    def parts():
        made = eqx.filter_eval_shape(module, jax.random.key(0))
        return eqx.partition(made, lambda x: isinstance(x, jax.ShapeDtypeStruct))

    def apply(arrays, x):
        return jax.vmap(eqx.combine(arrays, parts()[1]))(x)

    return from_structs(name, apply, lambda: parts()[0], inputs, groups, note)


CASES = [
    from_equinox(
        "equinox-cnn",
        Conv,
        normal(8, 2, 6, 6),
        [(2, 1), (3, 2), (5, 1), (7, 1), (7, 1)],
        "group norm keeps 2 groups of 3 units; the dense layer reads 5 units × 4 "
        "positions; its 2 hidden layers",
    ),
    from_equinox(
        "equinox-gru",
        Recurrent,
        normal(4, 6, 3),
        [(5, 1)],
        "the state's units, three times on the fused axes of the gates",
    ),
    from_equinox(
        "equinox-attention",
        Attention,
        normal(4, 5, 3),
        [(8, 1), (2, 1), (3, 2), (5, 2)],
        "the stream; heads fused with query-key and with value-output dimensions",
    ),
]
