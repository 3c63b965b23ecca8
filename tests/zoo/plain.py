"""Plain functions over lists, tuples and dataclasses: towers, tied weights, ensembles."""

import dataclasses

import jax
from jax import numpy as jnp

from zoo.case import Shape, from_shapes, normal


def mlp(layers, x):
    """A list of (kernel, bias)."""
    for i, (kernel, bias) in enumerate(layers):
        x = x @ kernel + bias[None]
        x = jax.nn.relu(x) if i < len(layers) - 1 else x
    return x


def mlp_shapes(*widths):
    return [
        (Shape(a, b), Shape(b)) for a, b in zip(widths[:-1], widths[1:], strict=True)
    ]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Siamese:
    """Two inputs through one tower; their distance, unit by unit, is read."""

    tower: list
    head: jax.Array

    def __call__(self, x):
        a, b = (jnp.tanh(mlp(self.tower, half)) for half in jnp.split(x, 2, axis=-1))
        return jnp.abs(a - b) @ self.head


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """Encoder kernels used again, transposed, to decode."""

    kernels: list
    encode: list
    decode: list

    def __call__(self, x):
        for kernel, bias in zip(self.kernels, self.encode, strict=True):
            x = jnp.tanh(x @ kernel + bias[None])
        for kernel, bias in zip(self.kernels[::-1], self.decode, strict=True):
            x = jnp.tanh(x) @ kernel.T + bias[None]
        return x


def lstm(v, x):
    """One fused kernel over input and state; the first state is learned."""

    def step(carry, x):
        state, cell = carry
        both = jnp.concatenate([x, state], axis=-1)
        i, f, g, o = jnp.split(both @ v["kernel"] + v["bias"][None], 4, axis=-1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        state = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (state, cell), None

    first = tuple(jnp.tile(row[None], (len(x), 1)) for row in v["first"])
    (state, _), _ = jax.lax.scan(step, first, x.swapaxes(0, 1))
    return state @ v["head"]


def mixture(v, x):
    """Mixture of experts: all of them, weighted by a softmax."""
    gates = jax.nn.softmax(x @ v["router"], axis=-1)
    hidden = jax.nn.relu(jnp.einsum("ni,eih->neh", x, v["up"]) + v["bias"][None])
    return jnp.einsum("ne,neh,eho->no", gates, hidden, v["down"])


def members(stacked, x):
    """The outputs of several MLPs whose arrays are stacked, `[members, n, outputs]`."""
    return jax.vmap(mlp, (0, None))(stacked, x)


def ensemble(stacked, x):
    return jax.nn.softmax(members(stacked, x), axis=-1).mean(axis=0)


def stacked_shapes(members, *widths):
    return jax.tree.map(
        lambda s: Shape(members, *s.axes),
        mlp_shapes(*widths),
        is_leaf=lambda x: isinstance(x, Shape),
    )


def weight_normed(v, x):
    """Each unit's incoming weights have the length that `scale` gives."""
    lengths = jnp.sqrt((v["kernel"] ** 2).sum(axis=0, keepdims=True))
    kernel = v["kernel"] / lengths * v["scale"][None]
    return jax.nn.relu(x @ kernel) @ v["head"]


CASES = [
    from_shapes(
        "mlp",
        mlp,
        mlp_shapes(3, 6, 5, 2),
        normal(16, 3),
        [(6, 1), (5, 1)],
        "one for each hidden layer",
    ),
    from_shapes(
        "siamese",
        lambda v, x: v(x),
        Siamese(mlp_shapes(3, 6, 4), Shape(4, 2)),
        normal(8, 6),
        [(6, 1), (4, 1)],
        "the towers share their weights, hence their units",
    ),
    from_shapes(
        "autoencoder-tied",
        lambda v, x: v(x),
        Autoencoder(
            [Shape(4, 6), Shape(6, 3)],
            [Shape(6), Shape(3)],
            [Shape(6), Shape(4)],
        ),
        normal(8, 4),
        [(6, 1), (3, 1)],
        "decoder units are the encoder's, read from the other side of its kernels",
    ),
    from_shapes(
        "lstm-fused",
        lstm,
        {
            **{"kernel": Shape(3 + 5, 4 * 5), "bias": Shape(4 * 5)},
            **{"first": (Shape(5), Shape(5)), "head": Shape(5, 2)},
        },
        normal(4, 6, 3),
        [(5, 1)],
        "state and cell, their first values, and four times on the fused axis",
    ),
    from_shapes(
        "mixture-of-experts",
        mixture,
        {
            **{"router": Shape(3, 4), "up": Shape(4, 3, 5)},
            **{"bias": Shape(4, 5), "down": Shape(4, 5, 2)},
        },
        normal(16, 3),
        [(4, 1), (5, 4)],
        "the experts, with the router's columns; the hidden units of each expert",
    ),
    from_shapes(
        "ensemble-mean",
        ensemble,
        stacked_shapes(3, 3, 6, 2),
        normal(16, 3),
        [(3, 1), (6, 3)],
        "members may change places, since only the mean of their probabilities is seen; "
        "the units of each",
    ),
    from_shapes(
        "ensemble-members",
        members,
        stacked_shapes(3, 3, 6, 2),
        normal(16, 3),
        [(6, 1)] * 3,
        "members stay, since their outputs are told apart; the units of each",
    ),
    from_shapes(
        "weight-norm",
        weight_normed,
        {"kernel": Shape(3, 6), "scale": Shape(6), "head": Shape(6, 2)},
        normal(16, 3),
        [(6, 1)],
        "a unit's length moves with it",
    ),
]
