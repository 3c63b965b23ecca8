"""Traps in weights that are used twice, or otherwise than in products."""

import jax
from jax import lax
from jax import numpy as jnp

from zoo.case import Shape
from zoo.traps.trap import HIDDEN, between, hidden, trap

READ, SQUARE = {"w1": 1, "b1": 0, "w": 0}, Shape(6, 6)
TWO = HIDDEN | {"w": SQUARE}


@trap(READ, {"w": 1, "w2": 0}, least=[(6, 1)], **TWO)
def weight_and_its_transpose(v, x):
    h = hidden(v, x)
    return jnp.tanh(h @ v["w"] + h @ v["w"].T) @ v["w2"]


@trap(READ, {"w": 1, "w2": 0}, least=[(6, 1)], **TWO)
def one_weight_for_two_layers(v, x):
    return jnp.tanh(jnp.tanh(hidden(v, x) @ v["w"]) @ v["w"]) @ v["w2"]


@trap(READ, {"w": 1}, **TWO)
def bilinear_form(v, x):
    h = hidden(v, x)
    return jnp.einsum("ni,ij,nj->n", h, v["w"], h)[:, None]


@trap({"w1": 1, "b1": 0, "w2": 0}, **TWO)
def diagonal_of_a_weight(v, x):
    return (hidden(v, x) * jnp.diag(v["w"])[None]) @ v["w2"]


@trap(READ, {"w": 1, "w2": 0}, **TWO)
def trace_of_a_weight(v, x):
    return hidden(v, x) @ v["w"] @ v["w2"] * jnp.trace(v["w"])


@trap(READ, {"w": 1, "w2": 0}, **TWO)
def triangle_of_a_weight(v, x):
    return jnp.tanh(hidden(v, x) @ jnp.tril(v["w"])) @ v["w2"]


@trap(READ, {"w": 1, "w2": 0}, **TWO)
def determinant_of_a_weight(v, x):
    return jnp.tanh(hidden(v, x) @ v["w"]) @ v["w2"] * jnp.linalg.det(v["w"])


@trap(READ, {"w": 1, "w2": 0}, **TWO)
def orthogonal_factor_of_a_weight(v, x):
    return jnp.tanh(hidden(v, x) @ jnp.linalg.qr(v["w"])[0]) @ v["w2"]


@trap(READ, {"w": 1, "w2": 0}, **TWO)
def weight_cumulated(v, x):
    return jnp.tanh(hidden(v, x) @ jnp.cumsum(v["w"], axis=1)) @ v["w2"]


@trap({"w1": 1, "b1": 0, "w2": 0}, **HIDDEN)
def row_of_a_weight_added(v, x):
    return hidden(v, x) @ v["w2"] + v["w2"][0][None]


@trap({"w1": 1, "b1": 0, "w2": 0}, w1=Shape(3, 6), b1=Shape(6), w2=Shape(6, 2))
def bias_of_one_layer_scales_another(v, x):
    return (hidden(v, x) @ v["w2"]) * v["b1"][None, :2]


@trap(
    READ,
    {"w": 1},
    **(HIDDEN | {"w": Shape(6, 3), "w2": Shape(3, 2)}),
)
def weight_reshaped(v, x):
    """Read once as 6 × 3 and once as 3 × 6 in the same order of its entries."""
    h = jnp.tanh(hidden(v, x) @ v["w"])
    return jnp.tanh(h @ v["w"].reshape(3, 6)) @ v["w1"].T @ v["w2"]


@trap({"w1": 1, "b1": 0, "scale": 0, "w2": 0}, **HIDDEN, scale=Shape(6))
def scale_of_positions_as_long_as_units(v, x):
    """Norm over the wrong axis: 6 positions, 6 units, one scale for each position."""
    positions = jnp.linspace(0, 1, 6, dtype=x.dtype)[None, :, None]
    h = jnp.tanh((x[:, None] * positions) @ v["w1"] + v["b1"][None, None])
    h = h - h.mean(axis=1, keepdims=True)
    return ((h * v["scale"][None, :, None]) @ v["w2"]).sum(axis=1)


@between(reads={}, w2=Shape(36, 2))
def outer_product_flattened(h, v):
    """The flat axis is units × units, not 6 places × units."""
    return (h[:, :, None] * h[:, None]).reshape(len(h), -1)


@between(w=Shape(3, 2, 2))
def grouped_layer(h, v):
    """Three groups of two units that permute as groups only."""
    return jnp.einsum("ngi,gio->ngo", h.reshape(-1, 3, 2), v["w"]).reshape(h.shape)


@between(w=Shape(1, 1, 2, 6))
def shuffled_channels(h, v):
    """ShuffleNet: the units of a grouped convolution dealt to the next one's groups."""
    h = h.reshape(-1, 2, 3).swapaxes(1, 2).reshape(-1, 1, 1, 6)
    return lax.conv_general_dilated(
        *(h, v["w"], (1, 1), "VALID"),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )[:, 0, 0]


@between(reads={}, w2=Shape(3, 2))
def depth_to_space(h, v):
    """Six units become two positions of three units."""
    places = jnp.asarray([1, 2], h.dtype)[None, :, None]
    return (h.reshape(-1, 2, 3) * places).sum(axis=1)


@trap(
    {"w1": 1, "b1": 0, "q": 0, "k": 0, "v": 0},
    {"q": 1, "k": 1},
    {"v": 1, "w2": 0},
    least=[(6, 1), (3, 1), (2, 3), (2, 3)],
    **(HIDDEN | {"q": SQUARE, "k": SQUARE, "v": SQUARE}),
)
def attention_heads(v, x):
    """Three heads of two dimensions, not six dimensions."""
    h = hidden(v, x)
    q, k, values = ((h @ v[name]).reshape(-1, 3, 2) for name in "qkv")
    weights = jax.nn.softmax(jnp.einsum("nhe,mhe->hnm", q, k), axis=-1)
    return jnp.einsum("hnm,mhe->nhe", weights, values).reshape(h.shape) @ v["w2"]
