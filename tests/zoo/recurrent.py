"""Recurrent networks, and layers stacked by `nn.scan`, in linen."""

import jax
from flax import linen as nn
from jax import numpy as jnp

from zoo.case import from_linen, normal


class Recurrent(nn.Module):
    """Cells scanned over time, one after the other; dense at every step."""

    cells: tuple[tuple[type, int], ...]

    @nn.compact
    def __call__(self, x):
        for i, (cell, units) in enumerate(self.cells):
            layer = cell(units, param_dtype=x.dtype, name=f"cell_{i}")
            x = nn.RNN(layer, name=f"rnn_{i}")(x)
        return nn.Dense(2, name="head")(x)


class Bidirectional(nn.Module):
    """Two LSTMs, one from each end, concatenated."""

    @nn.compact
    def __call__(self, x):
        ahead, back = (
            nn.RNN(
                nn.LSTMCell(units, param_dtype=x.dtype, name=name), name=f"{name}_rnn"
            )
            for name, units in (("ahead", 4), ("back", 5))
        )
        return nn.Dense(2, name="head")(nn.Bidirectional(ahead, back)(x))


class Chain(nn.Module):
    """Dense layers of one width whose kernels are stacked by `nn.scan`."""

    depth: int
    units: int

    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Dense(self.units, name="first")(x))
        x, _ = nn.scan(
            lambda layer, x, _: (jnp.tanh(layer(x)), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.depth,
        )(nn.Dense(self.units, name="layers"), x, None)
        return nn.Dense(2, name="head")(x)


class ResidualLayer(nn.Module):
    """Norm, two dense layers, added to the stream."""

    units: int

    @nn.compact
    def __call__(self, x, _):
        y = nn.LayerNorm(name="norm")(x)
        y = jax.nn.silu(nn.Dense(self.units, name="up")(y))
        return x + nn.Dense(x.shape[-1], name="down")(y), None


class ResidualStack(nn.Module):
    """Residual layers stacked by `nn.scan`, under `nn.remat` if asked."""

    remat: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(5, name="first")(x)
        layer = nn.remat(ResidualLayer) if self.remat else ResidualLayer
        stack = nn.scan(
            layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3
        )
        x, _ = stack(7, name="layers")(x, None)
        return nn.Dense(2, name="head")(x)


CASES = [
    from_linen(
        "gru",
        Recurrent(((nn.GRUCell, 5),)),
        normal(4, 6, 3),
        [(5, 1)],
        "the state's units, the same at every step; all gates share them",
    ),
    from_linen(
        "lstm-2-layers",
        Recurrent(((nn.LSTMCell, 5), (nn.OptimizedLSTMCell, 4))),
        normal(4, 6, 3),
        [(5, 1), (4, 1)],
        "one a layer: cell and hidden state and all four gates share their units",
    ),
    from_linen(
        "lstm-bidirectional",
        Bidirectional(),
        normal(4, 6, 3),
        [(4, 1), (5, 1)],
        "one a direction; the dense layer reads both, one after the other",
    ),
    from_linen(
        "scan-chain",
        Chain(depth=3, units=5),
        normal(8, 3),
        [(5, 1)] * 4,
        "the first layer's units and, since each kernel of the stack has its own output "
        "axis, those of each of 3 layers",
    ),
    from_linen(
        "scan-residual",
        ResidualStack(),
        normal(8, 3),
        [(5, 1), *[(7, 1)] * 3],
        "the stream is carried, so it is one; inside each of 3 layers its own units",
    ),
    from_linen(
        "scan-residual-remat",
        ResidualStack(remat=True),
        normal(8, 3),
        [(5, 1), *[(7, 1)] * 3],
        "the same; recomputing changes nothing",
    ),
]
