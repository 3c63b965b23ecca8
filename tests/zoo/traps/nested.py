"""Traps in axes that are read as heads and dimensions, and in stacks used twice."""

import jax
from jax import lax
from jax import numpy as jnp

from zoo.case import Shape
from zoo.traps.trap import HIDDEN, between, hidden, trap

HEADS = {"q": Shape(2, 3, 6), "o": Shape(2, 6, 2)}
OWN = [{"q/0": 1, "o/0": 0}, {"q/1": 1, "o/1": 0}]  # dimensions of each head apart
STACK = HIDDEN | {"w": Shape(3, 6, 6)}
CHAIN = [
    {"w1": 1, "b1": 0, "w/0": 0},
    {"w/0": 1, "w/1": 0},
    {"w/1": 1, "w/2": 0},
    {"w/2": 1, "w2": 0},
]


def of_heads(v, x):
    return jnp.tanh(jnp.einsum("ni,hie->nhe", x, v["q"]))


@trap(*OWN, least=[(6, 1), (2, 6)], **HEADS, scale=Shape(6))
def scale_shared_by_heads(v, x):
    """One scale for each dimension, for which the heads may change places."""
    h = of_heads(v, x) * v["scale"][None, None]
    return jnp.einsum("nhe,heo->no", h, v["o"])


@trap(*OWN, least=[(6, 1), (2, 6)], **HEADS)
def largest_of_heads(v, x):
    """The same dimension of all heads meets in a maximum."""
    h = of_heads(v, x)
    return jnp.einsum("nhe,heo->no", h - h.max(axis=1, keepdims=True), v["o"])


@trap(*OWN, **HEADS)
def heads_one_after_the_other(v, x):
    h = jnp.cumsum(of_heads(v, x), axis=1)
    return jnp.einsum("nhe,heo->no", h, v["o"])


@trap(*OWN, **HEADS)
def head_against_the_next(v, x):
    h = of_heads(v, x)
    return jnp.einsum("nhe,heo->no", h * jnp.roll(h, 1, axis=1), v["o"])


@between(least=[(3, 1)])
def cumsum_inside_groups(h, v):
    return jnp.cumsum(h.reshape(-1, 3, 2), axis=-1).reshape(h.shape)


@between(reads={}, w2=Shape(5, 2))
def two_groupings_of_the_same_units(h, v):
    halves = h.reshape(-1, 2, 3).max(axis=-1)
    pairs = h.reshape(-1, 3, 2).max(axis=-1)
    return jnp.concatenate([halves, pairs], axis=-1)


@trap({"w1": 1, "b1": 0, "w2": 0}, w1=Shape(3, 8), b1=Shape(8), w2=Shape(8, 2))
def as_many_units_as_examples(v, x):
    h = hidden(v, x)
    return (h + h.T) @ v["w2"]


@trap({"w": 0}, w=Shape(6, 3), w2=Shape(3, 2))
def rows_taken_one_by_one(v, x):
    rows = [(i + 1) * jnp.tanh(x * row[None]) for i, row in enumerate(v["w"])]
    return sum(rows) @ v["w2"]


@between()
def index_of_a_mapped_unit(h, v):
    def one(unit):
        return unit * lax.axis_index("units")

    return jax.vmap(one, in_axes=1, out_axes=1, axis_name="units")(h)


@between()
def mapped_units_sent_to_the_next(h, v):
    def one(unit):
        return lax.ppermute(unit, "units", [(i, (i + 1) % 6) for i in range(6)]) * unit

    return jax.vmap(one, in_axes=1, out_axes=1, axis_name="units")(h)


@between(order=Shape(6))
def order_given_by_a_variable(h, v):
    """Ranks of the units, as numbers."""
    ranks = jnp.argsort(jnp.argsort(v["order"]))
    return h * ranks.astype(h.dtype)[None]


@trap(*CHAIN, **STACK)
def stack_shifted_against_itself(v, x):
    def layer(h, pair):
        w, following = pair
        return jnp.tanh(h @ w) + 0.1 * jnp.tanh(h @ following), None

    h, _ = lax.scan(layer, hidden(v, x), (v["w"][:-1], v["w"][1:]))
    return h @ v["w2"]


@trap(*CHAIN, **STACK)
def stack_read_beside_its_mean(v, x):
    def layer(h, w):
        return jnp.tanh(h @ (w + v["w"].mean(axis=0))), None

    h, _ = lax.scan(layer, hidden(v, x), v["w"])
    return h @ v["w2"]


@trap(*CHAIN, **STACK)
def stack_flipped_before_the_scan(v, x):
    def layer(h, w):
        return jnp.tanh(h @ w), None

    h, _ = lax.scan(layer, hidden(v, x), v["w"][::-1])
    return h @ v["w2"]


@trap(*CHAIN, {"u1": 1}, **STACK, u1=Shape(3, 6), u2=Shape(6, 2))
def stack_read_whole_by_another_layer(v, x):
    def layer(h, w):
        return jnp.tanh(h @ w), None

    h, _ = lax.scan(layer, hidden(v, x), v["w"])
    other = jnp.einsum("ni,lij->nj", jnp.tanh(x @ v["u1"]), v["w"])
    return h @ v["w2"] + jnp.tanh(other) @ v["u2"]


PAIRS = {"w": Shape(2, 3, 5)}  # five places at each of 2 × 3, all of them alike


@trap({"w/0": 1}, least=[(5, 1)], **PAIRS)
def pairs_dealt_out_anew(v, x):
    """Of a 2 × 3 table read as 3 × 2, nothing is left but places: they are mixed."""
    other = v["w"].reshape(3, 2, 5).swapaxes(0, 1)
    return x * jnp.tanh(v["w"] * other).sum(axis=2)[:1]


@trap({"w/0": 1}, **PAIRS, k=Shape(1, 2, 6))
def groups_that_do_not_fit(v, x):
    """Six channels that are 2 × 3, in three groups of two: they are mixed."""
    channels = v["w"].reshape(6, 5).T[:, None]  # of five maps, one place each
    mixed = lax.conv_general_dilated(
        *(channels, v["k"], (1,), "SAME"),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=3,
    )
    return x * jnp.tanh(mixed * channels).sum(axis=0)[:, :3]


@trap({"t/0": 0, "w/0": 0}, least=[(5, 1)], t=Shape(3, 5), w=Shape(3, 5))
def stack_against_every_row(v, x):
    """Each layer of a stack meets all rows of a table, though read beside its own."""

    def layer(sums, row):
        return sums + jnp.tanh(v["t"] @ row), None

    sums, _ = lax.scan(layer, jnp.zeros(3, x.dtype), v["w"])
    return x * (sums + jnp.tanh(v["t"] * v["w"]).sum(axis=1))[None]


@trap({"c/1": 0}, least=[(4, 1)], c=Shape(6, 4))
def rows_beside_rows_in_another_order(v, x):
    """Row (i, j) meets row (j, i): each row's own order of columns does not hold."""
    other = v["c"].reshape(2, 3, 4).swapaxes(0, 1).reshape(6, 4)
    return x * jnp.tanh((v["c"] * other + v["c"]).sum(axis=1))[None, :3]


@trap({"c/0": 0, "d/0": 0, "d/1": 0}, least=[(4, 1)], c=Shape(3, 4), d=Shape(6, 4))
def rows_side_by_side_twice(v, x):
    """Row r of the six is row r % 3 of the three, whatever stands beside each."""
    three = jnp.arange(1, 4, dtype=x.dtype)
    y = v["c"] * three[:, None]
    both = jnp.concatenate([y, jnp.sin(y)]) * jnp.repeat(three, 2)[:, None]
    return x * jnp.tanh((both * v["d"]).sum(axis=1))[None, :3]


@trap({"c/0": 0, "c/1": 0, "d/0": 0}, least=[(2, 1)], c=Shape(6, 2), d=Shape(3, 2))
def half_of_the_rows_beside_all(v, x):
    """The first three of six rows are not the three pairs of rows."""
    six, three = jnp.arange(1, 7, dtype=x.dtype), jnp.arange(1, 4, dtype=x.dtype)
    y = (v["c"] * six[:, None]).reshape(12)
    some = (y[:6].reshape(3, 2) * three[:, None] * v["d"]).sum(axis=1)
    pairs = (six.reshape(3, 2) * three[:, None]).sum()
    return x * jnp.tanh(some * pairs + (y.reshape(6, 2) ** 2).sum())[None]
