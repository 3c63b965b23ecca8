"""Traps inside loops, branches, functions with own rules, and stacks of layers."""

import jax
from jax import lax
from jax import numpy as jnp

from zoo.case import Shape
from zoo.traps.trap import HIDDEN, UNITS, between, hidden, trap

READ = {"w1": 1, "b1": 0, "w": 0}
STACK = HIDDEN | {"w": Shape(3, 6, 6)}
CHAIN = [
    {"w1": 1, "b1": 0, "w/0": 0},
    *({f"w/{i}": 1, f"w/{i + 1}": 0} for i in range(2)),
    {"w/2": 1, "w2": 0},
]  # each layer of the stack with units of its own


@trap(READ, {"w": 1, "w2": 0}, least=[(6, 1)], **HIDDEN, w=Shape(6, 6))
def branches_that_tie_differently(v, x):
    """One branch is a layer, the other hands the units on: both must agree."""
    h = hidden(v, x)
    h = lax.cond(x.sum() > 0, lambda h: jnp.tanh(h @ v["w"]), lambda h: h, h)
    return h @ v["w2"]


@between()
def branch_that_flips(h, v):
    return lax.cond(h.sum() > 0, lambda h: h, lambda h: jnp.flip(h, axis=1), h)


@between()
def branch_on_one_unit(h, v):
    return lax.cond(h[0, 0] > 0, lambda h: h, lambda h: 2 * h, h)


@between()
def switch_on_a_place(h, v):
    branches = [lambda h: h, lambda h: 2 * h, lambda h: -h]
    return lax.switch(jnp.argmax(h[0]) % 3, branches, h)


@between()
def while_loop_that_rolls(h, v):
    def body(state):
        i, h = state
        return i + 1, h + 0.5 * jnp.roll(h, 1, axis=1)

    return lax.while_loop(lambda state: state[0] < 3, body, (0, h))[1]


@between()
def while_loop_until_one_unit_is_large(h, v):
    return lax.while_loop(lambda h: jnp.abs(h[0, 0]) < 4, lambda h: 2 * h, h)


@between()
def fori_loop_over_units(h, v):
    return lax.fori_loop(0, UNITS, lambda i, h: h.at[:, i].multiply(i), h)


@between()
def scan_that_carries_a_shifted_state(h, v):
    def step(carry, _):
        now, before = carry
        return (0.5 * now + jnp.roll(before, 1, axis=1), now), None

    return lax.scan(step, (h, h), None, length=3)[0][0]


@between()
def scan_along_units(h, v):
    """The axis of units is the time of a recurrence."""

    def step(state, unit):
        state = jnp.tanh(state + unit)
        return state, state

    return lax.scan(step, jnp.zeros_like(h[:, 0]), h.T)[1].T


@between()
def mapped_over_units_with_their_places(h, v):
    return jax.vmap(lambda i, unit: i * unit, (0, 1), 1)(jnp.arange(UNITS) + 0.5, h)


@trap(
    {"w1": 1, "b1": 0, "u2": 0},
    {"u1": 1, "w2": 0},
    least=[(6, 1)],
    **(HIDDEN | {"u1": Shape(3, 6), "u2": Shape(6, 2)}),
)
def scan_that_exchanges_its_carries(v, x):
    """Two states change places at every step: one step does not tell who is who."""

    def step(carry, _):
        a, b = carry
        return (b, jnp.tanh(a + 0.5)), None

    (a, b), _ = lax.scan(step, (hidden(v, x), x @ v["u1"]), None, length=2)
    return a @ v["w2"] + b @ v["u2"]


@trap(
    {"w1": 1, "b1": 0, "w2": 0},
    {"u1": 1, "u2": 0},
    least=[(6, 1)],
    **(HIDDEN | {"u1": Shape(3, 6), "u2": Shape(6, 2)}),
)
def while_loop_that_exchanges_its_carries(v, x):
    """As the scan, with a number of rounds that only the running tells."""

    def body(state):
        i, a, b = state
        return i + 1, b, jnp.tanh(a + 0.5)

    state = (jnp.where(x.sum() > 0, 0, 1), hidden(v, x), x @ v["u1"])
    _, a, b = lax.while_loop(lambda state: state[0] < 4, body, state)
    return a @ v["w2"] + b @ v["u2"]


@trap(*CHAIN, **STACK)
def stack_read_up_and_down(v, x):
    """Layers used upwards and downwards: each reads units that two others write."""

    def layer(h, w):
        return jnp.tanh(h @ w), None

    h, _ = lax.scan(layer, hidden(v, x), v["w"])
    h, _ = lax.scan(layer, h, v["w"], reverse=True)
    return h @ v["w2"]


@trap(*CHAIN, **STACK)
def stack_read_by_a_computed_index(v, x):
    """Layers 0, 1, 1, 0."""

    def body(i, h):
        return jnp.tanh(h @ v["w"][(i * i) % 3])

    return lax.fori_loop(0, 4, body, hidden(v, x)) @ v["w2"]


@trap(*CHAIN, **STACK)
def stack_whose_states_leak(v, x):
    def layer(h, w):
        return jnp.tanh(h @ w), h[:, :2]

    h, seen = lax.scan(layer, hidden(v, x), v["w"])
    return h @ v["w2"] + seen.sum(axis=0)


@trap(*CHAIN, **STACK)
def stack_with_skips(v, x):
    """Every state is added to the next, so all layers share their units."""
    h, _ = lax.scan(lambda h, w: (h + jnp.tanh(h @ w), None), hidden(v, x), v["w"])
    return h @ v["w2"]


@jax.custom_vjp
def flipped(h):
    return jnp.flip(h, axis=-1)


flipped.defvjp(lambda h: (flipped(h), None), lambda _, g: (g,))


@between()
def custom_vjp_that_flips(h, v):
    """Its rule for gradients is that of the identity."""
    return flipped(h)


@jax.custom_jvp
def cumulated(h):
    return jnp.cumsum(h, axis=-1)


@cumulated.defjvp
def _(primals, tangents):
    return cumulated(*primals), tangents[0]


@between()
def custom_jvp_that_cumulates(h, v):
    return cumulated(h)


@between()
def flip_inside_jit_and_remat(h, v):
    return jax.jit(jax.checkpoint(lambda h: jnp.flip(h, axis=-1) + h))(h)


@between()
def gradient_of_a_sum_in_order(h, v):
    """Reverse-mode code: transposed primitives of a cumulative sum."""
    return jax.grad(lambda h: (jnp.cumsum(h, axis=1) ** 2).sum())(h)
