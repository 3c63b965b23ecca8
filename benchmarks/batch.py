"""Many alignments in one call, beside one call each and the usual loop.

    python benchmarks/batch.py [--rounds=3] [--method=weight_matching] [--usual=15]

Six MLPs 3×64 are trained on the digits here, for eleven epochs, and all 15 pairs of each
epoch are aligned: 165 alignments. Ways take turns, on the same networks with the same
keys, and each number is a median over the rounds:

- `each`: `align.each`, for the first 1, 15, 55 and all 165 groups.
- `single`: `align.joint` in a loop, one call for each group.
- `usual`: the loop of `benchmarks/align.py`, with weight matching only, on the first
  `--usual` groups.

All times are milliseconds for one alignment. `same` says whether all results of one call
are those of single calls, bit for bit. Then what an alignment alone takes is split, by a
profile of single calls in one thread: SciPy's assignments, products of matrices and the
preparation of the two networks (binding, copies, scales), as shares of the whole.
"""

import argparse
import cProfile
import functools
import itertools
import pstats
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from align import usual
from cases import CASES, show

from linconn_jax import align, data, optimizers, permutation, train
from linconn_jax.align import Alignment
from linconn_jax.models import Model
from linconn_jax.typing import PyTree

SEEDS, EPOCHS, BATCH = 6, 11, 64
SIZES = (1, 15, 55)
"""Groups aligned in one call, beside all."""
PARTS = {
    "assignments": "linear_sum_assignment",
    "products": "gram",
    "preparation": "compared",
    "keys": "generators",
}


def trained(model: Model) -> list[PyTree]:
    """The networks at the end of each epoch, those of one epoch beside each other."""
    digits = data.load("digits").train
    steps = len(digits.images) // BATCH
    schedule = optimizers.schedule(0.05, total_steps=EPOCHS * steps, decay="cosine")
    sgd = optimizers.optimizer("sgd", schedule, momentum=0.9, weight_decay=1e-4)
    given = digits.images, digits.labels
    trainer = train.trainer(model, sgd, *given, seeds=SEEDS, batch_size=BATCH)
    seeds, found = tuple(range(SEEDS)), []
    states = trainer.init(seeds)
    for epoch in range(EPOCHS):
        states = train.forget_metrics(states)
        states = trainer.run(states, seeds, epoch * steps, (epoch + 1) * steps)
        found += [jax.tree.map(lambda x, i=i: x[i], states.variables) for i in seeds]
    error = train.mean_metrics(states)["error"]
    print(f"training error of the last epoch {np.asarray(error)}")
    return found


def timed(way: Callable[[], object]) -> tuple[float, object]:
    """Seconds that it takes, and what it returns."""
    began = time.perf_counter()
    found = way()
    return time.perf_counter() - began, found


def shares(way: Callable[[], object]) -> dict[str, float]:
    """How much of the time parts of an alignment take."""
    profile = cProfile.Profile()
    profile.runcall(way)
    stats = pstats.Stats(profile)
    found = dict.fromkeys(PARTS, 0.0)
    for (_, _, function), (*_, seconds, _) in stats.stats.items():
        for part, name in PARTS.items():
            if function == name or function.endswith(f".{name}>"):
                found[part] += seconds / stats.total_tt
    return found


def same(found: tuple[Alignment, ...], others: list[Alignment]) -> bool:
    """Whether they are equal, bit for bit."""
    both = zip(found, others, strict=True)
    return all(
        a.permutations == b.permutations and a.objective == b.objective for a, b in both
    )


def main() -> None:
    """Prints lines of figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", default="weight_matching")
    parser.add_argument("--usual", type=int, default=15)
    given = parser.parse_args()
    model = CASES["mlp_64"].model()
    networks = trained(model)
    pairs = list(itertools.combinations(range(SEEDS), 2))
    groups = [
        (SEEDS * epoch + i, SEEDS * epoch + j)
        for epoch in range(EPOCHS)
        for i, j in pairs
    ]
    key, inputs = jax.random.key(0), data.load("digits").train.images
    options = {"method": given.method, "apply": model.apply, "inputs": inputs}

    def each(count: int) -> tuple[Alignment, ...]:
        return align.each(model.spec, networks, groups[:count], key=key, **options)

    def single(count: int) -> list[Alignment]:
        return [
            align.joint(
                model.spec,
                [networks[n] for n in group],
                key=jax.random.fold_in(key, i),
                **options,
            )
            for i, group in enumerate(groups[:count])
        ]

    def loop(count: int) -> list[float]:
        return [
            usual(model.spec, *(networks[n] for n in group), key)[0]
            for group in groups[:count]
        ]

    ways = {f"each {n}": (each, n) for n in (*SIZES, len(groups))}
    ways["single"] = single, len(groups)
    if given.method == "weight_matching" and given.usual:
        ways["usual"] = loop, given.usual
    times: dict[str, list[float]] = {name: [] for name in ways}
    row = {}
    for turn in range(given.rounds + 1):
        for name, (way, count) in ways.items():
            seconds, found = timed(functools.partial(way, count))
            if turn:
                times[name].append(seconds / count * 1e3)
            elif count == len(groups):
                row[f"{name} first"] = seconds / count * 1e3
    row |= {name: statistics.median(taken) for name, taken in times.items()}
    whole = f"each {len(groups)}"
    row |= {
        f"times faster than {name}": row[name] / row[whole]
        for name in ("single", "usual")
        if name in row
    }
    found = each(len(groups)), single(len(groups))
    row["same"] = float(same(*found))
    row["sweeps"] = statistics.fmean(x.sweeps for x in found[0])
    show(f"mlp_64 {given.method}, ms for one", row)
    bound = permutation.bind(model.spec, networks[0])
    alone = functools.partial(align.weight_matching, bound, *networks[-2:], key=key)
    show("shares of one", shares(lambda: [alone() for _ in range(50)]))


if __name__ == "__main__":
    main()
