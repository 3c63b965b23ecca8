"""Barriers between k networks at once, by method: MLPs trained on digits.

    python benchmarks/joint.py [--widths 16 32 64] [--k 3 6] [--sets 5]
        [--methods naive merge_many:restarts=1 star:by=activation_matching ...]
        [--dataset digits] [--epochs 100] [--examples 10000] [--workdir runs/joint]

Each set is of k networks that no other set has, of 3 hidden layers and no norm. They are
trained here and kept in the workdir. A method is the name of a registered one with its
settings; one for pairs brings each network to the first. By default all that are
registered take part, and star and spanning tree with each method for pairs.

`pair` is the barrier of the worst pair of a set's networks, all moved as the method says,
over 25 points; `simplex` that of all k at once, over these, a grid and points inside:
above interpolated baselines, of the loss and of the error, on training and test data
(on the first EXAMPLES of each, which alignment looks at too; trained is on all).
Mean ± standard deviation over the sets; seconds of the alignment, median over the sets.
`joint.csv` holds a row for each set, method, split and metric, `joint.md` the tables.
"""

import argparse
import ast
import csv
import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from linconn_jax import (
    align,
    barrier,
    data,
    interchange,
    models,
    optimizers,
    simplex,
    train,
    trees,
)
from linconn_jax.align import Alignment
from linconn_jax.data import Dataset, Split
from linconn_jax.interpolate import evaluate_simplex
from linconn_jax.models import Model
from linconn_jax.typing import PyTree

BATCH = 64
GRID = 130
"""Most points of the grid of a simplex."""
MEASURED = list(itertools.product(("train", "test"), ("loss", "error")))


def build(dataset: Dataset, width: int) -> Model:
    """The MLP of a width."""
    return models.build(
        "mlp",
        depth=3,
        width=width,
        norm="none",
        image_shape=dataset.image_shape,
        classes=dataset.classes,
        mean=dataset.mean,
        std=dataset.std,
    )


def trained(
    model: Model, dataset: Dataset, count: int, epochs: int, path: Path
) -> PyTree:
    """So many networks, stacked; from the file, if it is there."""
    if path.exists():
        shapes = jax.eval_shape(
            jax.vmap(model.init), jax.random.split(jax.random.key(0), count)
        )
        return interchange.restore(interchange.load(path), like=shapes)
    each = dataset.train.examples // BATCH
    schedule = optimizers.schedule(
        0.1, total_steps=epochs * each, decay="cosine", warmup_steps=each
    )
    rule = optimizers.optimizer("sgd", schedule, momentum=0.9, weight_decay=1e-3)
    seeds, (images, labels) = (
        tuple(range(count)),
        (dataset.train.images, dataset.train.labels),
    )
    trainer = train.trainer(model, rule, images, labels, seeds=count, batch_size=BATCH)
    last = (epochs - 1) * each
    state = trainer.run(trainer.init(seeds), seeds, 0, last)
    state = trainer.run(train.forget_metrics(state), seeds, last, epochs * each)
    networks = jax.tree.map(lambda x: np.asarray(x)[:count], state.variables)
    error = np.asarray(train.mean_metrics(state)["error"])[:count]
    print(f"training error of the last epoch: {error.min():.3f} to {error.max():.3f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    interchange.save(path, networks)
    return networks


def barriers(
    model: Model, vertices: PyTree, coords: np.ndarray, split: Split
) -> dict[str, float]:
    """Of the loss and of the error."""
    found = evaluate_simplex(model.apply, vertices, coords, split.images, split.labels)
    return {
        metric: barrier.barrier(getattr(found, metric), coords).value
        for metric in ("loss", "error")
    }


def measure(model: Model, dataset: Dataset, moved: PyTree) -> Iterator[dict[str, Any]]:
    """A row for each split and metric."""
    k = trees.leading_size(moved)
    for name in ("train", "test"):
        split = getattr(dataset, name)
        pairs = [
            barriers(model, trees.take(moved, pair), simplex.segment(25), split)
            for pair in itertools.combinations(range(k), 2)
        ]
        whole = {}
        if k > 2:
            sizes = (r for r in range(10, 1, -1) if simplex.grid_size(k, r) <= GRID)
            coords = simplex.points(k, next(sizes, 1))
            whole = barriers(model, moved, coords, split)
        for metric in ("loss", "error"):
            worst = max(pair[metric] for pair in pairs)
            # A simplex's edges are its own, and have more points than its grid.
            every = {"pair": worst, "simplex": max(worst, whole.get(metric, worst))}
            yield {"split": name, "metric": metric, **every}


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Name and settings of `name:option=value:option=value`."""
    name, *options = text.split(":")
    settings = {}
    for option in options:
        key, _, value = option.partition("=")
        try:
            settings[key] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            settings[key] = value
    return name, settings


def everything() -> list[str]:
    """All methods that are registered, but for sequences and at random."""
    known = {
        n: x for n, x in align.methods().items() if not x.sequences and n != "random"
    }
    pairwise = [n for n, x in known.items() if not x.joint]
    trees_by = [f"{x}:by={y}" for x in ("star", "spanning_tree") for y in pairwise]
    variants = ["frank_wolfe:restarts=1", "frank_wolfe:local_search=True"]
    rest = [n for n in known if n not in ("star", "spanning_tree")]
    return [*rest, *variants, *trees_by]


def aligned(model: Model, dataset: Dataset, networks: PyTree, text: str) -> Alignment:
    """A set of networks by a method."""
    name, settings = parsed(text)
    return align.joint(
        model.spec,
        networks,
        key=jax.random.key(0),
        method=name,
        apply=model.apply,
        inputs=dataset.train.images,
        labels=dataset.train.labels,
        settings=settings or None,
    )


def table(rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> str:
    """A line for each method: means and spread over the sets."""
    columns = [f"{s} {m}, {x}" for s, m in MEASURED for x in ("pair", "simplex")]
    lines = [["method", *columns, "seconds"], ["---"] * (len(columns) + 2)]
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        cells = []
        for (split, metric), kind in itertools.product(MEASURED, ("pair", "simplex")):
            some = [x for x in own if (x["split"], x["metric"]) == (split, metric)]
            values = [x[kind] for x in some]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values):.3f}")
        seconds = statistics.median(row["seconds"] for row in own)
        lines.append([method, *cells, f"{seconds:.2f}"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Prints tables and writes both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--k", type=int, nargs="+", default=[3])
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=everything())
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--workdir", type=Path, default=Path("runs/joint"))
    options = parser.parse_args()
    whole, rows, told = data.load(options.dataset), [], []
    parts = (whole.train, whole.test)
    train_part, test_part = (
        part.first(min(options.examples, part.examples)) for part in parts
    )
    dataset = dataclasses.replace(whole, train=train_part, test=test_part)
    count = max(options.k) * options.sets
    for width in options.widths:
        model = build(dataset, width)
        name = f"{options.dataset}_{width}_{count}_{options.epochs}.safetensors"
        path = options.workdir / name
        networks = trained(model, whole, count, options.epochs, path)
        for k in options.k:
            fresh: list[dict[str, Any]] = []
            for method, number in itertools.product(
                options.methods, range(options.sets)
            ):
                some = trees.take(networks, range(number * k, number * k + k))
                found = aligned(model, dataset, some, method)
                common = {"width": width, "k": k, "set": number, "method": method}
                moved = found.apply_all(some)
                for row in measure(model, dataset, moved):
                    fresh.append(common | row | {"seconds": found.seconds})
            rows += fresh
            title = f"Width {width}, {k} networks, {options.sets} sets"
            told.append(f"## {title}\n\n{table(fresh, options.methods)}\n")
            print(told[-1], flush=True)
            (options.workdir / "joint.md").write_text("\n".join(told))
            with (options.workdir / "joint.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys())
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
