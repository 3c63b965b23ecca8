"""Weight matching beside the usual loop, on the same networks, in one run.

    python benchmarks/align.py [--rounds=3] [--restarts=8] [--only=mlp_512] [--trained]

The usual loop, as the public implementations have it: layers in a random order in each
sweep, each similarity built anew from all its leaves with jax.numpy, one assignment by
SciPy, until a sweep improves none. Both begin at the identity, with the same keys, on two
networks with random weights, or with --trained on two that were trained on the digits 400
steps (images repeated to the size that the network takes).

The first call of each is told by itself, with all that it compiles; then they take turns,
and each number is a median. `seconds` of the library are split into similarities,
assignments and the rest; `floor` is what the assignments took and what the similarities
that were needed would take at the rate of a large product of matrices on this machine.
`objective` is that of the library, divided by that of the loop.
"""

import argparse
import contextlib
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from cases import CASES, Case, big_matmul, show
from scipy.optimize import linear_sum_assignment

from linconn_jax import align, data, optimizers, permutation, train
from linconn_jax.align import _weights, assignment
from linconn_jax.models import Model
from linconn_jax.permutation import Spec
from linconn_jax.typing import Array, PyTree

STEPS, BATCH = 400, 16
RATES = {"mlp_512": 1e-3, "vgg_64": 1e-4, "resnet_16": 1e-3}
"""With which networks are trained, by Adam; at 1e-3 VGGs stay at chance."""
MEASURED = {
    "mlp_512": CASES["mlp_512"],
    "vgg_64": dataclasses.replace(
        CASES["vgg_8"], options={"family": "vgg", "width": 64}
    ),
    "resnet_16": Case(
        (32, 32, 3), {"family": "resnet", "width": 16}, CASES["vgg_8"].linen, 40, 500
    ),
}


def usual(
    spec: Spec, reference: PyTree, other: PyTree, key: Array
) -> tuple[float, int]:
    """The usual loop; returns the objective and the number of assignments."""
    bound = permutation.bind(spec, reference)
    ours, theirs = (
        [jnp.asarray(x) for x in bound.leaves(y)] for y in (reference, other)
    )
    labels = [[getattr(x, "name", None) for x in axes.labels] for axes in bound.axes]
    found = {name: jnp.arange(n) for name, n in permutation.sizes(bound).items()}
    layers = {name: [i for i, x in enumerate(labels) if name in x] for name in found}

    def moved(leaf: Array, names: list, but: int | None = None) -> Array:
        for axis, name in enumerate(names):
            if name in found and axis != but:
                leaf = jnp.take(leaf, found[name], axis=axis)
        return leaf

    names, generator, assigned = list(layers), np.random.default_rng(0), 0
    improved = True
    while improved:
        improved = False
        for i in generator.permutation(len(names)):
            name = names[i]
            similarity = jnp.zeros((len(found[name]),) * 2)
            for leaf in layers[name]:
                axis = labels[leaf].index(name)
                theirs_here = moved(theirs[leaf], labels[leaf], but=axis)
                a, b = (
                    jnp.moveaxis(x, axis, 0).reshape(len(similarity), -1)
                    for x in (ours[leaf], theirs_here)
                )
                similarity += a @ b.T
            rows, columns = linear_sum_assignment(np.asarray(similarity), maximize=True)
            assigned += 1
            before = similarity[jnp.arange(len(rows)), found[name]].sum()
            after = similarity[rows, columns].sum()
            improved |= bool(after > before + 1e-12)
            found[name] = jnp.asarray(columns)
    pairs = zip(ours, theirs, labels, strict=True)
    total = sum(
        np.vdot(np.float64(a), np.float64(moved(b, names)))
        for a, b, names in pairs
        if any(names)
    )
    return float(total), assigned


@contextlib.contextmanager
def watched(module: object, name: str, spent: dict[str, float]) -> Iterator[None]:
    """Adds up the seconds that a function of a module takes."""
    original = getattr(module, name)

    def timed(*given: object, **options: object) -> object:
        began = time.perf_counter()
        result = original(*given, **options)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
        if name == "gram":
            products = 2.0 * np.size(given[0]) * np.size(result) / np.shape(result)[0]
            spent["operations"] = spent.get("operations", 0.0) + products
        return result

    setattr(module, name, timed)
    try:
        yield
    finally:
        setattr(module, name, original)


def drawn(generator: np.random.Generator, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    """A leaf of random numbers."""
    return generator.normal(size=leaf.shape).astype(np.float32)


def networks(model: Model, case: Case, rate: float | None) -> list[PyTree]:
    """Two networks on the host, trained at a rate or with random weights."""
    if rate is None:
        generators = map(np.random.default_rng, (0, 1))
        return [
            jax.tree.map(functools.partial(drawn, x), model.shapes) for x in generators
        ]
    digits = data.load("digits").train
    height, width, channels = case.shape
    times = (1, -(-height // 8), -(-width // 8), channels)
    images = np.tile(digits.images, times)[:, :height, :width]
    steps, last = STEPS, STEPS * 9 // 10
    schedule = optimizers.schedule(
        rate, total_steps=steps, decay="cosine", warmup_steps=STEPS // 10
    )
    adam = optimizers.optimizer("adam", schedule)
    trainer = train.trainer(
        model, adam, images, digits.labels, seeds=2, batch_size=BATCH
    )
    states = trainer.run(trainer.init((0, 1)), (0, 1), 0, last)
    states = trainer.run(train.forget_metrics(states), (0, 1), last, steps)
    error = np.asarray(train.mean_metrics(states)["error"])
    print(f"  training error of the last {steps - last} steps: {error}")
    stacked = jax.device_get(states.variables)
    return [jax.tree.map(lambda x, i=i: np.asarray(x[i]), stacked) for i in (0, 1)]


def measure(
    case: Case, rounds: int, restarts: int, rate: float | None
) -> dict[str, float]:
    """All figures of one case."""
    model = case.model()
    a, b = networks(model, case, rate)
    key, reached = jax.random.key(0), {}

    def ours(restarts: int) -> None:
        found = align.weight_matching(model.spec, a, b, key=key, restarts=restarts)
        reached["ours", restarts] = found.objective

    def loop() -> None:
        reached["usual"], reached["assignments"] = usual(model.spec, a, b, key)

    ways: dict[str, Callable[[], None]] = {
        "usual": loop,
        "ours": lambda: ours(1),
        f"ours_{restarts}": lambda: ours(restarts),
    }
    row, times = {}, {name: [] for name in ways}
    for name, way in ways.items():
        began = time.perf_counter()
        way()
        row[f"{name} first s"] = time.perf_counter() - began
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - began)
    row |= {f"{name} s": statistics.median(taken) for name, taken in times.items()}
    spent: dict[str, float] = {}
    began = time.perf_counter()
    with (
        watched(_weights, "gram", spent),
        watched(assignment, "linear_sum_assignment", spent),
    ):
        ours(1)
    whole = time.perf_counter() - began
    product, operations = big_matmul()
    product()
    rates = []
    for _ in range(5):
        began = time.perf_counter()
        product()
        rates.append(operations / (time.perf_counter() - began))
    solved = spent["linear_sum_assignment"]
    row |= {
        "similarities s": spent["gram"],
        "assignments s": solved,
        "rest s": whole - spent["gram"] - solved,
        "floor s": solved + spent["operations"] / max(rates),
        "times faster": row["usual s"] / row["ours s"],
        "first, times faster": row["usual first s"] / row["ours first s"],
        "restarts against one usual": row["usual s"] / row[f"ours_{restarts} s"],
        "objective": reached["ours", 1] / reached["usual"],
        f"objective of {restarts}": reached["ours", restarts] / reached["usual"],
        "assignments of the loop": reached["assignments"],
    }
    return row


def main() -> None:
    """Prints a line of figures for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--restarts", type=int, default=8)
    parser.add_argument("--only", choices=MEASURED, action="append")
    parser.add_argument("--trained", action="store_true")
    given = parser.parse_args()
    for name in given.only or MEASURED:
        rate = RATES[name] if given.trained else None
        show(name, measure(MEASURED[name], given.rounds, given.restarts, rate))


if __name__ == "__main__":
    main()
