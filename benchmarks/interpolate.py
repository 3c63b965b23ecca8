"""Evaluation speed: `evaluate_simplex`, beside a Python loop over points and batches.

    python benchmarks/interpolate.py [--rounds=5] [--only=mlp_512]

Loss and error at the 25 points of a segment, on random images. The ways take turns, and
each number is a median over the rounds after one that is thrown away (it compiles).

`evaluator` is `interpolate.evaluate_simplex`. `loop` is what is usually written: at each
point the two networks are mixed leaf by leaf, and a jitted function returns the sums of
each batch, which are fetched at the end of the point; data on the device. It runs the
library's model; `linen loop` runs the same network written with flax's own layers, so
with XLA's convolution. Rates are points a second; `ratio` compares the evaluator with
the faster loop; `GFLOP/s` is the evaluator's, by XLA's count of one batch's operations,
and `of matmul` what share that is of a 2048×2048 float32 product's rate.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cases import CASES, Case, big_matmul, medians, show

from linconn_jax import interpolate, simplex, trees
from linconn_jax.typing import Array, PyTree

POINTS, BATCH = 25, 500


def evaluator(case: Case, data: PyTree) -> Callable[[], np.ndarray]:
    """Losses at the points by the library."""
    model = case.model()
    ends = trees.stack([model.init(jax.random.key(seed)) for seed in range(2)])
    coords, (images, labels) = simplex.segment(POINTS), map(jnp.asarray, data)

    def measured() -> np.ndarray:
        found = interpolate.evaluate_simplex(
            model.apply, ends, coords, images, labels, batch_size=BATCH
        )
        return found.loss

    return measured


def usual_loop(
    apply: Callable, init: Callable, data: PyTree
) -> tuple[Callable[[], np.ndarray], float]:
    """Losses at the points by loops, and the floating-point operations of a point."""
    images, labels = map(jnp.asarray, data)
    first, second = (init(jax.random.key(seed)) for seed in range(2))

    @jax.jit
    def sums(variables: PyTree, images: Array, labels: Array) -> tuple[Array, Array]:
        logits = apply(variables, images)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.sum(), jnp.sum(logits.argmax(-1) != labels)

    @jax.jit
    def mixed(t: float) -> PyTree:
        return jax.tree.map(lambda a, b: (1 - t) * a + t * b, first, second)

    starts = range(0, len(labels), BATCH)

    def measured() -> np.ndarray:
        means = []
        for t in np.linspace(0, 1, POINTS, dtype=np.float32):
            variables = mixed(t)
            found = [
                sums(variables, images[i : i + BATCH], labels[i : i + BATCH])
                for i in starts
            ]
            loss, _ = np.sum(jax.device_get(found), axis=0) / len(labels)
            means.append(loss)
        return np.array(means)

    cost = sums.lower(first, images[:BATCH], labels[:BATCH]).cost_analysis()
    return measured, cost["flops"] * len(starts)


def measure(case: Case, rounds: int) -> dict[str, float]:
    """The row of one network."""
    data, model = case.data(case.examples), case.model()
    loop, flops = usual_loop(model.apply, model.init, data)
    linen, _ = usual_loop(case.apply_linen, case.init_linen, data)
    matmul, matmul_flops = big_matmul()
    ours = evaluator(case, data)
    np.testing.assert_allclose(ours(), loop(), rtol=1e-4)
    ways = {"evaluator": ours, "loop": loop, "linen loop": linen, "matmul": matmul}
    taken = medians(ways, rounds)
    rates = {name: POINTS / t for name, t in taken.items() if name != "matmul"}
    reached, peak = flops * rates["evaluator"], matmul_flops / taken["matmul"]
    return {
        **rates,
        "ratio": rates["evaluator"] / max(rates["loop"], rates["linen loop"]),
        "GFLOP/s": reached / 1e9,
        "of matmul": reached / peak,
        "matmul GFLOP/s": peak / 1e9,
    }


def main() -> None:
    """Prints a line for each network; rates are points a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(CASES), help="one network only")
    options = parser.parse_args()
    for name in [options.only] if options.only else CASES:
        case = CASES[name]
        show(f"{name}, {case.examples} examples", measure(case, options.rounds))


if __name__ == "__main__":
    main()
