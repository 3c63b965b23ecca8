"""Your own networks (here Equinox) and data: all barriers and a page, in one call."""

import equinox as eqx
import jax
import numpy as np

import linconn_jax
from linconn_jax import metrics

mine = np.load("mine.npz")  # inputs x [examples, 64] and their classes y [examples]
x, y = mine["x"], mine["y"]


def apply(net, x):
    return jax.vmap(net)(x)


@eqx.filter_jit
def step(net):
    grad = eqx.filter_grad(lambda n: metrics.cross_entropy(apply(n, x), y).mean())
    return eqx.apply_updates(net, jax.tree.map(lambda g: -0.5 * g, grad(net)))


nets = [eqx.nn.MLP(64, 10, 128, 2, key=jax.random.key(i)) for i in range(3)]
for _ in range(300):
    nets = [step(net) for net in nets]
found = linconn_jax.compare(apply, nets, (x, y), workdir="runs/mine")
