"""Training speed: eight seeds in one program, beside eight Python loops, in one run.

    python benchmarks/train.py [--rounds=5] [--only=mlp_64] [--at_once=N]

Random images; batch 128; SGD with momentum and weight decay, float32. The ways take
turns, and each number is a median over the rounds after one that is thrown away (it
compiles). A step is one network's step: eight seeds make eight steps at a time.

`one program` is `train.trainer` as the experiments use it: the steps of all seeds in one
compiled call. `loops` is what is usually written: for one seed after the other, a Python
loop around a jitted step whose state is donated, data and order on the device, nothing
fetched before the end. It runs the library's model; `linen loops` runs the same network
written with flax's own layers, so with XLA's convolution. `ratio` compares the program
with the faster of the two loops. `GFLOP/s` is the program's, by XLA's count of a step's
operations, and `of matmul` what share that is of a 2048×2048 float32 product's rate.
"""

import argparse
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from linconn_jax import models, optimizers, train
from linconn_jax.typing import Array, PyTree

SEEDS, BATCH, EXAMPLES, CLASSES = 8, 128, 2048, 10
Apply = Callable[[PyTree, Array], Array]


@dataclasses.dataclass(frozen=True)
class Case:
    """A network to train, and how many steps of it one measurement takes."""

    shape: tuple[int, int, int]
    options: dict
    linen: nn.Module
    steps: int


class PlainMLP(nn.Module):
    """The MLP as flax's layers."""

    width: int

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Logits."""
        x = images.reshape(len(images), -1)
        for _ in range(3):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(CLASSES)(x)


class PlainVGG(nn.Module):
    """VGG-16 with LayerNorm as flax's layers."""

    width: int

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Logits."""
        x = images
        for stage, (convs, factor) in enumerate(
            zip((2, 2, 3, 3, 3), (1, 2, 4, 8, 8), strict=True)
        ):
            if stage:
                x = nn.max_pool(x, (2, 2), (2, 2))
            for _ in range(convs):
                x = nn.Conv(self.width * factor, (3, 3))(x)
                x = nn.relu(nn.LayerNorm()(x))
        return nn.Dense(CLASSES)(x.mean(axis=(1, 2)))


CASES = {
    "mlp_64": Case((8, 8, 1), {"family": "mlp", "width": 64}, PlainMLP(64), 1000),
    "mlp_512": Case((28, 28, 1), {"family": "mlp", "width": 512}, PlainMLP(512), 50),
    "vgg_8": Case((32, 32, 3), {"family": "vgg", "width": 8}, PlainVGG(8), 1),
}


def one_program(
    model: models.Model, data: PyTree, steps: int, at_once: int | None
) -> Callable[[], object]:
    """A function that takes `steps` steps of all seeds with the library's trainer."""
    trainer = train.trainer(
        model, sgd(), *data, seeds=SEEDS, batch_size=BATCH, at_once=at_once
    )
    states, taken = trainer.init(range(SEEDS)), 0

    def measured() -> object:
        nonlocal states, taken
        states = trainer.run(states, range(SEEDS), taken, taken + steps)
        taken += steps
        return jax.block_until_ready(states)

    return measured


def separate_loops(
    apply: Apply, init: Callable, data: PyTree, steps: int
) -> tuple[Callable[[], object], float]:
    """The same for one seed after the other, and the floating-point operations a step."""
    optimizer = sgd()
    images, labels = jnp.asarray(data[0]), jnp.asarray(data[1])

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: PyTree, chosen: Array, images: Array, labels: Array) -> PyTree:
        def objective(params: PyTree) -> Array:
            logits = apply({"params": params}, images[chosen])
            losses = optax.softmax_cross_entropy_with_integer_labels
            return losses(logits, labels[chosen]).mean()

        params, opt_state, total = state
        loss, gradient = jax.value_and_grad(objective)(params)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, total + loss

    states = []
    for seed in range(SEEDS):
        params = init(jax.random.key(seed))["params"]
        states.append((params, optimizer.init(params), jnp.zeros(())))
    order = np.random.default_rng(0).permutation(EXAMPLES).reshape(-1, BATCH)
    batches = [jnp.asarray(order[i % len(order)]) for i in range(steps)]

    def measured() -> object:
        for seed in range(SEEDS):
            for chosen in batches:
                states[seed] = step(states[seed], chosen, images, labels)
            jax.block_until_ready(states[seed])
        return states

    cost = step.lower(states[0], batches[0], images, labels).cost_analysis()
    return measured, cost["flops"]


def sgd() -> optax.GradientTransformation:
    """The optimiser of all the ways."""
    return optimizers.optimizer("sgd", 0.01, momentum=0.9, weight_decay=1e-4)


def big_matmul() -> tuple[Callable[[], object], float]:
    """A product that runs at the machine's float32 rate, and its operations."""
    size = 2048
    a = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    return lambda: jax.block_until_ready(product(a)), 2.0 * size**3


def seconds(function: Callable[[], object]) -> float:
    """Time that one call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def measure(case: Case, rounds: int, at_once: int | None) -> dict[str, float]:
    """The row of one network."""
    rng = np.random.default_rng(0)
    data = (
        rng.integers(0, 256, (EXAMPLES, *case.shape), np.uint8),
        rng.integers(0, CLASSES, EXAMPLES, np.int32),
    )
    model = models.build(
        image_shape=case.shape,
        classes=CLASSES,
        mean=(0.5,) * case.shape[-1],
        std=(0.3,) * case.shape[-1],
        **case.options,
    )

    def plain(variables: PyTree, images: Array) -> Array:
        scaled = (images.astype(jnp.float32) / 255 - 0.5) / 0.3
        return case.linen.apply(variables, scaled)

    blank = jnp.zeros((1, *case.shape))
    loops, flops = separate_loops(model.apply, model.init, data, case.steps)
    linen, _ = separate_loops(
        plain, lambda key: case.linen.init(key, blank), data, case.steps
    )
    matmul, matmul_flops = big_matmul()
    ways = {
        "one program": one_program(model, data, case.steps, at_once),
        "loops": loops,
        "linen loops": linen,
        "matmul": matmul,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            times[name].append(seconds(way))
    taken = {name: statistics.median(values[1:]) for name, values in times.items()}
    rates = {name: SEEDS * case.steps / t for name, t in taken.items()}
    peak = matmul_flops / taken["matmul"]
    reached = flops * rates["one program"]
    return {
        **{name: rates[name] for name in ("one program", "loops", "linen loops")},
        "ratio": rates["one program"] / max(rates["loops"], rates["linen loops"]),
        "ms a step": 1000 / rates["one program"],
        "GFLOP/s": reached / 1e9,
        "matmul GFLOP/s": peak / 1e9,
        "of matmul": reached / peak,
    }


def main() -> None:
    """Prints a line for each network; rates are steps a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(CASES), help="one network only")
    parser.add_argument(
        "--at_once", type=int, help="seeds vectorised together; by default all"
    )
    options = parser.parse_args()
    for name in [options.only] if options.only else CASES:
        row = measure(CASES[name], options.rounds, options.at_once)
        print(f"{name}: " + ", ".join(f"{k} {v:.3g}" for k, v in row.items()))


if __name__ == "__main__":
    main()
