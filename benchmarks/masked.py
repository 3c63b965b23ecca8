"""What masks cost: sparse networks beside dense ones, in one run.

    python benchmarks/masked.py [--rounds=5] [--only=mlp_512]

Two networks with random weights and random images; the sparse ones are those without 90 %
of their weights, the smallest. All sparse and dense ways take turns, and each number is a
median over the rounds after one that is thrown away (it compiles).

`train` is a training step of one network by `train.trainer` (batch 128; SGD with momentum
and weight decay, float32), with masks and without; `evaluate` the loss at a point by
`interpolate.evaluate_simplex`; `align` an alignment by weight matching, whose number of
sweeps depends on the weights, so it is given for each sweep. All in milliseconds; `ratio`
is sparse to dense.
"""

import argparse
from collections.abc import Callable

import jax
from cases import CASES, Case, medians, show

from linconn_jax import align, interpolate, optimizers, prune, simplex, train, trees
from linconn_jax.models import Model
from linconn_jax.typing import PyTree

BATCH, EXAMPLES, POINTS = 128, 2048, 5
RESNET = Case(
    (32, 32, 3), {"family": "resnet", "width": 8}, CASES["vgg_8"].linen, 2, 500
)
MEASURED = {"mlp_512": CASES["mlp_512"], "resnet_8": RESNET}


def training(model: Model, case: Case, variables: PyTree, masks: PyTree) -> Callable:
    """A function that trains both networks for some steps."""
    sgd = optimizers.optimizer("sgd", 0.01, momentum=0.9, weight_decay=1e-4)
    data = case.data(EXAMPLES)
    trainer = train.trainer(model, sgd, *data, seeds=2, batch_size=BATCH)
    states, taken = trainer.begin(variables, 0, masks), 0

    def measured() -> object:
        nonlocal states, taken
        states = trainer.run(states, (0, 1), taken, taken + case.steps)
        taken += case.steps
        return jax.block_until_ready(states)

    return measured


def evaluation(model: Model, case: Case, variables: PyTree) -> Callable:
    """A function that measures losses at points between both networks."""
    data, coords = case.data(case.examples), simplex.segment(POINTS)
    images, labels = jax.numpy.asarray(data[0]), data[1]
    apply = model.apply
    return lambda: interpolate.evaluate_simplex(
        apply, variables, coords, images, labels
    )


def alignment(model: Model, variables: PyTree, sweeps: list[int]) -> Callable:
    """A function that aligns both networks; notes the number of sweeps."""
    first, second = (trees.take(variables, i) for i in range(2))

    def measured() -> object:
        found = align.weight_matching(model.spec, first, second, key=jax.random.key(0))
        sweeps.append(found.sweeps)
        return found

    return measured


def measure(case: Case, rounds: int) -> dict[str, float]:
    """The row of one network."""
    model = case.model()
    made = [jax.device_get(model.init(jax.random.key(seed))) for seed in range(2)]
    masks = [prune.magnitude(x, prune.dense(x), 0.9) for x in made]
    cut = [prune.apply(*pair) for pair in zip(masks, made, strict=True)]
    dense, sparse = trees.stack(made), trees.stack(cut)
    sweeps: dict[str, list[int]] = {"dense": [], "sparse": []}
    ways = {
        "train dense": training(model, case, dense, ()),
        "train sparse": training(model, case, dense, trees.stack(masks)),
        "evaluate dense": evaluation(model, case, dense),
        "evaluate sparse": evaluation(model, case, sparse),
        "align dense": alignment(model, dense, sweeps["dense"]),
        "align sparse": alignment(model, sparse, sweeps["sparse"]),
    }
    taken = medians(ways, rounds)
    found = {}
    for name, part in (("train", 2 * case.steps), ("evaluate", POINTS), ("align", 0)):
        each = []
        for kind in ("dense", "sparse"):
            each.append(1000 * taken[f"{name} {kind}"] / (part or sweeps[kind][0]))
            found[f"{name} {kind}"] = each[-1]
        found[f"{name} ratio"] = each[1] / each[0]
    return found


def main() -> None:
    """Prints a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(MEASURED), help="one network only")
    options = parser.parse_args()
    for name in [options.only] if options.only else MEASURED:
        show(name, measure(MEASURED[name], options.rounds))


if __name__ == "__main__":
    main()
