"""Traps in what is done to hidden units: place, order and neighbours matter."""

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from zoo.case import Shape
from zoo.traps.trap import HIDDEN, UNITS, between, hidden, trap

PLACES = np.arange(UNITS)
SOME = np.array([2, 0, 1, 5, 3, 4])


def places(h):
    return jnp.arange(UNITS, dtype=h.dtype)[None]


@between()
def sinusoidal_positions_added_to_channels(h, v):
    return h + jnp.sin(places(h))


@between()
def constant_mask_over_units(h, v):
    return h * jnp.asarray([1, 1, 0, 1, 0, 1], h.dtype)[None]


@between()
def bounds_of_each_unit(h, v):
    return jnp.clip(h, -0.1 * places(h), 0.1 * places(h))


@between()
def every_other_unit_by_iota(h, v):
    return jnp.where(lax.broadcasted_iota(jnp.int32, h.shape, 1) % 2 == 0, h, 2 * h)


@between()
def one_hot_of_a_place(h, v):
    return h + jax.nn.one_hot(2, UNITS, dtype=h.dtype)[None]


@between()
def softmax_times_arange(h, v):
    return jax.nn.softmax(h, axis=-1) * places(h)


@between()
def constant_matrix(h, v):
    return h @ jnp.tril(jnp.ones((UNITS, UNITS), h.dtype))


@between()
def noise_from_a_constant_key(h, v):
    return h + jax.random.normal(jax.random.key(0), (UNITS,), h.dtype)[None]


@between()
def sort_over_units(h, v):
    return jnp.sort(h, axis=-1)


@between()
def argsort_as_numbers(h, v):
    return h * jnp.argsort(h, axis=-1).astype(h.dtype)


@between()
def argmax_as_a_number(h, v):
    return h * jnp.argmax(h, axis=-1, keepdims=True).astype(h.dtype)


@between(reads={}, table=Shape(UNITS, UNITS))
def argmax_as_an_index(h, v):
    return v["table"][jnp.argmax(h, axis=-1)]


@between(reads={}, w2=Shape(3, 2))
def top_k_and_where(h, v):
    values, where = lax.top_k(h, 3)
    return values * where.astype(h.dtype)


@between()
def cumsum_over_units(h, v):
    return jnp.cumsum(h, axis=-1)


@between()
def cummax_by_associative_scan(h, v):
    return lax.associative_scan(jnp.maximum, h, axis=1)


@between(reads={}, w2=Shape(1, 2))
def reduction_in_order(h, v):
    folded = lax.reduce(h, jnp.zeros((), h.dtype), lambda a, b: 0.5 * a + b, (1,))
    return folded[:, None]


@between()
def roll_over_units(h, v):
    return jnp.roll(h, 1, axis=-1) * h


@between()
def flip_over_units(h, v):
    return jnp.flip(h, axis=-1)


@between()
def shift_by_padding(h, v):
    return jnp.pad(h, ((0, 0), (1, 0)))[:, :-1] + h


@between()
def halves_exchanged(h, v):
    return jnp.concatenate([h[:, 3:], h[:, :3]], axis=-1)


@between()
def gather_of_a_constant_order(h, v):
    return h[:, SOME]


@between(reads={}, w2=Shape(UNITS - 1, 2))
def difference_of_neighbours(h, v):
    return h[:, 1:] - h[:, :-1]


@between(reads={}, w2=Shape(4, 2))
def dynamic_slice_over_units(h, v):
    start = jnp.where(h.sum() > 0, 1, 2)
    return lax.dynamic_slice_in_dim(h, start, 4, axis=1)


@between()
def one_unit_overwritten(h, v):
    return h.at[:, 2].set(0)


@between(reads={}, w2=Shape(3, 2))
def segment_sum_of_units(h, v):
    return jnp.zeros((len(h), 3), h.dtype).at[:, SOME // 2].add(h)


@between(reads={}, w2=Shape(3, 2))
def pairs_summed(h, v):
    return h.reshape(-1, 3, 2).sum(axis=-1)


@between()
def norm_of_groups(h, v):
    pairs = h.reshape(-1, 3, 2)
    return (pairs / (1 + jnp.abs(pairs).sum(axis=-1, keepdims=True))).reshape(h.shape)


@between()
def reshape_in_place_of_a_transpose(h, v):
    return h.T.reshape(h.shape)


@between(reads={}, w2=Shape(4, 2))
def merged_and_split_elsewhere(h, v):
    return h.reshape(-1, UNITS * 2).reshape(-1, 3, 4).sum(axis=1).repeat(2, axis=0)


@between()
def convolution_along_units(h, v):
    kernel = jnp.asarray([1, 2, 3], h.dtype)[:, None, None]
    return lax.conv_general_dilated(
        h[..., None], kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )[..., 0]


@between()
def pooling_along_units(h, v):
    return lax.reduce_window(h, -jnp.inf, lax.max, (1, 2), (1, 1), "SAME")


@between()
def rotation_of_pairs(h, v):
    a, b = jnp.split(h, 2, axis=-1)
    angle = places(h)[:, :3]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


@between()
def fourier_transform_of_units(h, v):
    return jnp.fft.fft(h, axis=-1).real


@between()
def callback_on_the_host(h, v):
    def cumsum(h):
        return np.cumsum(h, axis=-1)

    return jax.pure_callback(cumsum, jax.ShapeDtypeStruct(h.shape, h.dtype), h)


@between(least=[(UNITS, 1)], reads={}, w2=Shape(4 * UNITS, 2))
def repeated_and_tiled(h, v):
    return jnp.concatenate([jnp.repeat(h, 2, axis=-1), jnp.tile(h, (1, 2))], axis=-1)


@trap({"w1": 1, "b1": 0, "w2": 0}, w1=Shape(3, 6), b1=Shape(6), w2=Shape(6, 2))
def unit_leaked_to_the_output(v, x):
    h = hidden(v, x)
    return h @ v["w2"] + h[:, :1]


@trap({"w1": 1, "b1": 0, "w2": 0}, w1=Shape(3, 3), b1=Shape(3), w2=Shape(3, 2))
def stream_tied_to_the_input(v, x):
    return (x + hidden(v, x)) @ v["w2"]


@trap({"w1": 1, "b1": 0}, **HIDDEN)
def zeros_of_two_signs_sorted(v, x):
    """0.0 and -0.0 are equal to a sort, which leaves them in the order of the units."""
    h = jnp.sort(jax.nn.relu(x @ v["w1"]) * v["b1"][None], axis=1)
    return jnp.arctan2(jnp.zeros_like(h), h) @ v["w2"]
