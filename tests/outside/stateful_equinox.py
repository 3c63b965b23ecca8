"""A network of one's own: Equinox, with running statistics as state.

    python -m experiments.weak --config=configs/digits.py \
        --config.model.function=stateful_equinox:network \
        --config.methods="('naive','weight_matching')"
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from linconn_jax import models


class Net(eqx.Module):
    """Dense, batch norm, ReLU, dense."""

    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    last: eqx.nn.Linear

    def __init__(self, inputs, width, classes, key):
        a, b = jax.random.split(key)
        self.first = eqx.nn.Linear(inputs, width, key=a)
        self.norm = eqx.nn.BatchNorm(width, axis_name="examples", mode="batch")
        self.last = eqx.nn.Linear(width, classes, key=b)

    def __call__(self, x, state):
        """Logits of one example, and the new state."""
        x, state = self.norm(self.first(x), state)
        return self.last(jax.nn.relu(x)), state


def network(width, dataset):
    """A `Model` of the net at one width."""
    inputs = dataset.train.images[:1].size

    def make(key):
        return eqx.nn.make_with_state(Net)(inputs, width, dataset.classes, key)

    _, static = eqx.partition(
        eqx.filter_eval_shape(make, jax.random.key(0))[0], eqx.is_inexact_array
    )

    def init(key):
        net, state = make(key)
        return eqx.filter(net, eqx.is_inexact_array), state

    def apply(params, state, images, train):
        net = eqx.nn.inference_mode(eqx.combine(params, static), not train)
        flat = images.reshape(len(images), -1).astype(jnp.float32)
        each = jax.vmap(net, (0, None), (0, None), axis_name="examples")
        return each(flat / 255 if images.dtype == jnp.uint8 else flat, state)

    return models.from_functions(
        init,
        apply,
        name=f"equinox-{width}",
        family="equinox-W",
        inputs=dataset.train.images,
        state=True,
    )
