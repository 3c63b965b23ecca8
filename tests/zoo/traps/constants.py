"""Traps in constants that differ from place to place, though made of equal ones."""

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from zoo.traps.trap import UNITS, between

NOISE = jax.random.key(0)


def ones(h):
    return jnp.ones(UNITS, h.dtype)


@between()
def cumsum_of_ones(h, v):
    return h * jnp.cumsum(ones(h))[None]


@between()
def ones_beside_zeros(h, v):
    return h * jnp.concatenate([ones(h)[:4], jnp.zeros(2, h.dtype)])[None]


@between()
def padded_ones(h, v):
    return h * jnp.pad(ones(h)[:4], (1, 1))[None]


@between()
def window_sum_of_ones(h, v):
    counts = lax.reduce_window(
        ones(h), np.zeros((), h.dtype), lax.add, (3,), (1,), "SAME"
    )
    return h / counts[None]


@between()
def convolution_of_ones(h, v):
    return h / jnp.convolve(ones(h), ones(h)[:3], mode="same")[None]


@between()
def ones_set_in_zeros(h, v):
    return h * jnp.zeros(UNITS, h.dtype).at[np.array([1, 3])].set(1)[None]


@between()
def updated_slice_of_ones(h, v):
    return h * lax.dynamic_update_slice(ones(h), 2 * ones(h)[:2], (3,))[None]


@between()
def counter_stacked_by_scan(h, v):
    zero = jnp.zeros((), h.dtype)
    _, counts = lax.scan(lambda n, _: (n + 1, n), zero, None, length=UNITS)
    return h * counts[None]


@between()
def sum_of_a_triangle(h, v):
    return h * jnp.triu(jnp.ones((UNITS, UNITS), h.dtype)).sum(axis=0)[None]


@between()
def place_of_the_largest(h, v):
    order = jnp.argsort(ones(h))  # 0, 1, 2, ...: ties keep their order
    return h * order.astype(h.dtype)[None]


@between()
def noise_from_a_key_outside(h, v):
    """The key is a constant of the traced program."""
    with jax.ensure_compile_time_eval():
        key = jax.random.key(0)
    return h + jax.random.normal(key, (UNITS,), h.dtype)[None]


@between()
def zeros_of_two_signs(h, v):
    zeros = np.where(np.arange(UNITS) < 2, 0.0, -0.0).astype(h.dtype)
    return jnp.copysign(h, zeros[None])


@between()
def noise_of_a_key_that_is_closed_over(h, v):
    return h * jax.random.normal(NOISE, (1, UNITS), h.dtype)


@between()
def noise_of_a_key_for_each_unit(h, v):
    noise = jax.vmap(lambda key: jax.random.normal(key, (), h.dtype))
    return h * noise(jax.random.split(NOISE, UNITS))[None]
