"""Networks of other libraries, as their users write them; named in configs by tests.

Each function is what a config's `model.function` names: `function(width, dataset)`.
"""

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

from linconn_jax import models

# ---- no library: a list of tuples, no state ----


def plain(width, dataset, depth=2):
    sizes = [int(np.prod(dataset.image_shape)), *[width] * depth, dataset.classes]

    def init(key):
        keys = jax.random.split(key, len(sizes) - 1)
        return [
            (jax.random.normal(k, (i, o)) / np.sqrt(i), jnp.full(o, 0.1))
            for k, i, o in zip(keys, sizes[:-1], sizes[1:], strict=True)
        ]

    def apply(params, inputs):
        x = inputs.reshape(len(inputs), -1)
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias[None, :])
        kernel, bias = params[-1]
        return x @ kernel + bias[None, :]

    return {"init": init, "apply": apply}


# ---- Equinox, with the running statistics of its BatchNorm ----


class Net(eqx.Module):
    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    last: eqx.nn.Linear

    def __init__(self, inputs, width, classes, key):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(inputs, width, key=one)
        self.norm = eqx.nn.BatchNorm(width, axis_name="examples", mode="ema")
        self.last = eqx.nn.Linear(width, classes, key=two)

    def __call__(self, x, state):
        x, state = self.norm(self.first(x), state)
        return self.last(jax.nn.relu(x)), state


def equinox(width, dataset):
    def make(key):
        (inputs,) = dataset.image_shape
        return eqx.nn.make_with_state(Net)(inputs, width, dataset.classes, key)

    def init(key):
        net, state = make(key)
        return eqx.filter(net, eqx.is_inexact_array), state

    _, static = eqx.partition(make(jax.random.key(0))[0], eqx.is_inexact_array)

    def apply(params, state, inputs, train):
        net = eqx.nn.inference_mode(eqx.combine(params, static), value=not train)
        batched = jax.vmap(
            net, axis_name="examples", in_axes=(0, None), out_axes=(0, None)
        )
        return batched(inputs, state)

    return {"init": init, "apply": apply, "state": True, "name": f"eqx-{width}"}


# ---- NNX ----


class NnxNet(nnx.Module):
    def __init__(self, inputs, width, classes, rngs):
        self.first = nnx.Linear(inputs, width, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.last = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.relu(self.norm(self.first(x))))


def of_nnx(width, dataset):
    def make(key):
        rngs = nnx.Rngs(params=key)
        return NnxNet(*dataset.image_shape, width, dataset.classes, rngs)

    graph, *_ = nnx.split(make(jax.random.key(0)), nnx.Param, nnx.BatchStat)

    def init(key):
        return nnx.split(make(key), nnx.Param, nnx.BatchStat)[1:]

    def apply(params, state, inputs, train):
        net = nnx.merge(graph, params, state)
        net.train() if train else net.eval()
        return net(inputs), nnx.state(net, nnx.BatchStat)

    return models.from_functions(
        init,
        apply,
        state=True,
        inputs=dataset.train.images,
        name=f"nnx-{width}",
        family="nnx-W",
    )


# ---- Haiku, whose transformed functions have the contract already ----


def haiku(width, dataset):
    def forward(inputs, train):
        x = hk.Linear(width)(inputs)
        x = hk.BatchNorm(True, True, decay_rate=0.9)(x, is_training=train)
        return hk.Linear(dataset.classes)(jax.nn.relu(x))

    net = hk.without_apply_rng(hk.transform_with_state(forward))
    example = jnp.zeros((2, *dataset.image_shape))
    return {
        "init": lambda key: net.init(key, example, True),
        "apply": net.apply,
        "state": True,
    }


# ---- linen: its collections as params and state, averaged over devices ----


class LinenNet(nn.Module):
    width: int
    classes: int

    @nn.compact
    def __call__(self, x, train, axis_name=None):
        x = nn.Dense(self.width, name="first")(x)
        x = nn.BatchNorm(not train, momentum=0.9, axis_name=axis_name, name="norm")(x)
        return nn.Dense(self.classes, name="last")(nn.relu(x))


def linen(width, dataset):
    net = LinenNet(width, dataset.classes)
    example = jnp.zeros((2, *dataset.image_shape))

    def init(key):
        variables = net.init(key, example, False)
        return variables["params"], variables["batch_stats"]

    def apply(params, state, inputs, train, axis_name=None):
        variables = {"params": params, "batch_stats": state}
        if not train:
            return net.apply(variables, inputs, False), state
        logits, updated = net.apply(
            variables, inputs, True, axis_name, mutable=["batch_stats"]
        )
        return logits, updated["batch_stats"]

    return {"init": init, "apply": apply, "state": True}


# ---- data, and things that are wrong ----


def clusters(examples=96, seed=0):
    """Float inputs [n, 6] of three classes around three centres."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 2 * examples)
    inputs = rng.normal(size=(2 * examples, 6)) + 3 * np.eye(6)[labels]
    half = slice(examples), slice(examples, None)
    train, test = ((inputs[i], labels[i]) for i in half)
    return {"train": train, "test": test}


def nothing(**options):
    return None


def odd(width, dataset):
    return {"init": plain, "aply": plain}


def fixed(width, dataset):
    def init(key):
        return [jax.random.normal(key, (5, 2))]

    inputs = jax.ShapeDtypeStruct((1, 5), jnp.float32)
    return {"init": init, "apply": lambda p, x: x @ p[0], "inputs": inputs}


NOT_A_FUNCTION = 3
