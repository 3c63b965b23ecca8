"""Two networks of your own, here in Equinox: aligned, then interpolated."""

import equinox as eqx
import jax

from linconn_jax import align, barrier, data, interpolate, metrics, simplex, trees
from linconn_jax import permutation as pm

train = data.load("digits").train
images, labels = train.images.reshape(-1, 64) / 255, train.labels
ends = [eqx.nn.MLP(64, 10, 128, 2, key=jax.random.key(seed)) for seed in (0, 1)]
(a, static), (b, _) = (eqx.partition(end, eqx.is_array) for end in ends)


def apply(network, x):
    return jax.vmap(eqx.combine(network, static))(x)


@jax.jit
def step(network):
    loss = lambda n: metrics.cross_entropy(apply(n, images), labels).mean()  # noqa: E731
    return jax.tree.map(lambda w, g: w - 0.5 * g, network, jax.grad(loss)(network))


for _ in range(300):
    a, b = step(a), step(b)
spec = pm.discover(apply, a, images)
found = align.weight_matching(spec, a, b, key=jax.random.key(0))
line = simplex.segment(25)
for name, end in (("naive", b), ("aligned", found.apply(b))):
    both = trees.stack([a, end])
    values = interpolate.evaluate_simplex(apply, both, line, images, labels)
    print(f"{name} loss barrier {barrier.barrier(values.loss, line).value:.3f}")
