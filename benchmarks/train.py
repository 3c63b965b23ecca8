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
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cases import CASES, Case, big_matmul, medians, show

from linconn_jax import models, optimizers, train
from linconn_jax.typing import Array, PyTree

SEEDS, BATCH, EXAMPLES = 8, 128, 2048


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
    apply: Callable, init: Callable, data: PyTree, steps: int
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


def measure(case: Case, rounds: int, at_once: int | None) -> dict[str, float]:
    """The row of one network."""
    data, model = case.data(EXAMPLES), case.model()
    loops, flops = separate_loops(model.apply, model.init, data, case.steps)
    linen, _ = separate_loops(case.apply_linen, case.init_linen, data, case.steps)
    matmul, matmul_flops = big_matmul()
    ways = {
        "one program": one_program(model, data, case.steps, at_once),
        "loops": loops,
        "linen loops": linen,
        "matmul": matmul,
    }
    taken = medians(ways, rounds)
    program, *others = (
        SEEDS * case.steps / t for n, t in taken.items() if n != "matmul"
    )
    peak = matmul_flops / taken["matmul"]
    return {
        "one program": program,
        "loops": others[0],
        "linen loops": others[1],
        "ratio": program / max(others),
        "ms a step": 1000 / program,
        "GFLOP/s": flops * program / 1e9,
        "of matmul": flops * program / peak,
        "matmul GFLOP/s": peak / 1e9,
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
        show(name, measure(CASES[name], options.rounds, options.at_once))


if __name__ == "__main__":
    main()
