"""Traps in the small print of single primitives: each is one guard of one rule."""

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from zoo.case import Shape
from zoo.traps.trap import UNITS, between, hidden, trap

ROWS = {"w": Shape(3, 6)}  # units of which each row could have an order of its own
OWN = {"w/0": 0}
SIDES = {"w1": Shape(3, UNITS), "b1": Shape(UNITS)}
CHANNELS_LAST = ("NWC", "WIO", "NWC")
NUMBERS = np.arange(1.0, UNITS + 1)


def times(x, table):
    """An output that depends on every entry of a table."""
    return x * jnp.tanh(table).sum()


@trap(OWN, least=[(6, 1)], **ROWS)
def rows_against_rows(v, x):
    return times(x, v["w"] @ v["w"].T)


@trap(OWN, least=[(6, 1)], **ROWS)
def rows_against_rows_by_convolution(v, x):
    rows, columns = v["w"][:, None], v["w"].T[None]
    gram = lax.conv_general_dilated(
        rows, columns, (1,), "VALID", dimension_numbers=CHANNELS_LAST
    )
    return times(x, gram)


@trap(OWN, least=[(6, 1)], **ROWS)
def rows_sorted_beside_themselves(v, x):
    return times(x, v["w"] * jnp.sort(v["w"], axis=0))


@trap(OWN, least=[(6, 1)], **ROWS)
def largest_rows_beside_themselves(v, x):
    return times(x, v["w"].T * lax.top_k(v["w"].T, 3)[0])


@between(reads={}, k=Shape(1, 8, 4), w2=Shape(4, 2))
def groups_of_the_batch(h, v):
    return lax.conv_general_dilated(
        *(h.T[:, None], v["k"], (1,), "VALID"),
        dimension_numbers=CHANNELS_LAST,
        batch_group_count=2,
    )[:, 0]


@trap({"at": 1}, at=Shape(4, 2), table=Shape(2, 2))
def row_and_column_given_by_a_variable(v, x):
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(), collapsed_slice_dims=(0, 1), start_index_map=(0, 1)
    )
    at = (v["at"] > 0).astype(jnp.int32)
    taken = lax.gather(v["table"], at, numbers, (1, 1))
    return times(x, v["at"]) * (taken * NUMBERS[:4].astype(x.dtype)).sum()


@between()
def example_picked_for_each_unit(h, v):
    picked = jax.vmap(lambda unit, i: unit[i])(h.T, np.arange(UNITS))
    return jnp.broadcast_to(picked[None], h.shape)


@trap({"at": 0}, at=Shape(UNITS))
def added_where_a_variable_says(v, x):
    at = (v["at"] > 0).astype(jnp.int32)
    sums = jnp.zeros(2, x.dtype).at[at].add(NUMBERS.astype(x.dtype))
    return x * (jnp.tanh(sums / 20) * NUMBERS[:2].astype(x.dtype)).sum()


@trap(
    {"w1": 1, "b1": 0, "w2": 0},
    {"u": 1},
    **{"w1": Shape(3, 6), "b1": Shape(6), "w2": Shape(6, 2), "u": Shape(3, 2)},
)
def units_written_over_others(v, x):
    h = lax.dynamic_update_slice(hidden(v, x), x @ v["u"], (0, 3))
    return h @ v["w2"]


@between()
def sorted_by_their_signs(h, v):
    """The order of those with one sign is the order that they came in."""
    return lax.sort((jnp.sign(h), h), dimension=1, num_keys=1)[1]


@between()
def shift_by_a_window_of_one(h, v):
    zero, padding = np.zeros((), h.dtype), ((0, 0), (1, -1))
    return lax.reduce_window(h, zero, lax.add, (1, 1), (1, 1), padding) + h


@between()
def shift_by_negative_padding(h, v):
    return lax.pad(h, jnp.zeros((), h.dtype), ((0, 0, 0), (1, -1, 0))) + h


@between(reads={}, w2=Shape(2 * UNITS - 1, 2))
def zeros_between_units(h, v):
    return lax.pad(h, jnp.zeros((), h.dtype), ((0, 0, 0), (0, 0, 1)))


@between(reads={}, w2=Shape(4, 2))
def slice_beyond_the_end(h, v):
    return lax.dynamic_slice_in_dim(h, UNITS - 1, 4, axis=1)


@between(reads={}, w2=Shape(2, 2))
def bits_of_units(h, v):
    """Each number falls apart into two."""
    bits = lax.bitcast_convert_type(h.astype(jnp.float32), jnp.uint16)
    return (bits * NUMBERS[None, :, None]).sum(axis=1).astype(h.dtype) / 2**21


@between()
def reshape_in_another_order(h, v):
    return lax.reshape(h, h.shape, dimensions=(1, 0))


@between()
def numbers_stacked(h, v):
    return h * jnp.stack([h.sum() + i for i in range(UNITS)])[None]


@between(reads={}, w2=Shape(5, 2))
def slices_across_groups(h, v):
    groups = h.reshape(-1, 3, 2)
    h = (groups - groups.max(axis=2, keepdims=True)).reshape(h.shape)
    late, early = h[:, 3:], h[:, 1:3]
    return jnp.concatenate([late, early], axis=1)


@trap({"w1": 1, "b1": 0}, {"u": 1}, **SIDES, u=Shape(3, 4), w2=Shape(2, 2))
def pairs_of_what_stands_side_by_side(v, x):
    beside = jnp.concatenate([hidden(v, x), x @ v["u"]], axis=1)
    return beside.reshape(len(x), 5, 2).sum(axis=1) @ v["w2"]


@between(reads={}, w2=Shape(3, 2))
def pairs_of_what_stays(h, v):
    places = jnp.arange(UNITS, dtype=h.dtype)[None]
    return (h * places).reshape(-1, 3, 2).sum(axis=2)


@between()
def half_and_then_in_order(h, v):
    half = h[:, :3].sum(axis=1, keepdims=True)
    return jnp.cumsum(h, axis=1) + half
