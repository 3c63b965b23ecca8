"""Barriers between k networks at once, by method.

    python benchmarks/joint.py [--network mlp] [--widths 16 32 64] [--k 3 6] [--sets 5]
        [--methods naive merge_many:restarts=1 star:by=activation_matching ...]
        [--dataset digits] [--examples 10000] [--points 25] [--epochs 100]
        [--weight_decay 0.001] [--workdir runs/joint]

Each set is of k networks that no other set has: MLPs of 3 hidden layers without a norm,
small ResNets or transformers (`networks.py`). They are trained here and kept in the
workdir. A method is the name of a registered one with its
settings; one for pairs brings each network to the first. By default all that are
registered take part, and star and spanning tree with each method for pairs.

`pair` is the barrier of the worst pair of a set's networks, all moved as the method says,
over POINTS points; `simplex` that of all k at once, over these, a grid and points inside:
above interpolated baselines, of the loss and of the error, on training and test data
(on the first EXAMPLES of each, which alignment looks at too; trained is on all).
Mean ± standard deviation over the sets; seconds of the alignment, median over the sets.
`joint_DATASET_NETWORK.csv` in the workdir holds a row for each set, method, split and
metric, the `.md` of that name the tables.
"""

import argparse
import csv
import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from networks import RECIPES, aligned, build, fitted, trained

from linconn_jax import align, barrier, data, simplex, trees
from linconn_jax.data import Dataset, Split
from linconn_jax.interpolate import evaluate_simplex
from linconn_jax.models import Model
from linconn_jax.typing import PyTree

WIDTHS = {"mlp": [16, 32, 64], "resnet": [4], "transformer": [32]}
GRID = 130
"""Most points of the grid of a simplex."""
MEASURED = list(itertools.product(("train", "test"), ("loss", "error")))


def barriers(
    model: Model, vertices: PyTree, coords: np.ndarray, split: Split
) -> dict[str, float]:
    """Of the loss and of the error."""
    found = evaluate_simplex(model.apply, vertices, coords, split.images, split.labels)
    return {
        metric: barrier.barrier(getattr(found, metric), coords).value
        for metric in ("loss", "error")
    }


def measure(
    model: Model, dataset: Dataset, moved: PyTree, points: int
) -> Iterator[dict[str, Any]]:
    """A row for each split and metric; pairs at so many points."""
    k = trees.leading_size(moved)
    for name in ("train", "test"):
        split = getattr(dataset, name)
        pairs = [
            barriers(model, trees.take(moved, pair), simplex.segment(points), split)
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


def compared(
    model: Model, dataset: Dataset, networks: PyTree, k: int, method: str, points: int
) -> Iterator[dict[str, Any]]:
    """Rows of all sets of k, by one method."""
    for number in range(trees.leading_size(networks) // k):
        some = trees.take(networks, range(number * k, number * k + k))
        found = aligned(model, dataset, some, method)
        about = {"k": k, "set": number, "method": method, "seconds": found.seconds}
        for row in measure(model, dataset, found.apply_all(some), points):
            yield about | row


COLUMNS = [f"{s} {m}, {x}" for s, m in MEASURED for x in ("pair", "simplex")]
HEAD = [["method", *COLUMNS, "seconds"], ["---"] * (len(COLUMNS) + 2)]


def line(method: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Of a method's rows: means and spread over the sets."""
    cells = []
    for (split, metric), kind in itertools.product(MEASURED, ("pair", "simplex")):
        some = [x for x in rows if (x["split"], x["metric"]) == (split, metric)]
        values = [x[kind] for x in some]
        cells.append(f"{np.mean(values):.3f} ± {np.std(values):.3f}")
    seconds = statistics.median(row["seconds"] for row in rows)
    return [method, *cells, f"{seconds:.2f}"]


def written(cells: Sequence[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints tables and writes both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=[*RECIPES], default="mlp")
    parser.add_argument("--widths", type=int, nargs="+", default=None)
    parser.add_argument("--k", type=int, nargs="+", default=[3])
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=everything())
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=25)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--weight_decay", type=float, default=None)
    parser.add_argument("--workdir", type=Path, default=Path("runs/joint"))
    options = parser.parse_args()
    whole, told = data.load(options.dataset), []
    first = [
        x.first(min(options.examples, x.examples)) for x in (whole.train, whole.test)
    ]
    dataset = dataclasses.replace(whole, train=first[0], test=first[1])
    rows: list[dict[str, Any]] = []
    count = max(options.k) * options.sets
    for width in options.widths or WIDTHS[options.network]:
        name = f"{options.network}_{width}"
        model = build(name, dataset)
        changes = {"epochs": options.epochs, "weight_decay": options.weight_decay}
        networks = trained(name, model, whole, count, options.workdir, **changes)
        told += [f"# {name}", "", fitted(model, dataset, networks), ""]
        print(told[-2], flush=True)
        for k in options.k:
            told += [f"## {k} networks, {options.sets} sets", "", *map(written, HEAD)]
            print(*told[-4:], sep="\n", flush=True)
            for method in options.methods:
                some = trees.take(networks, range(k * options.sets))
                fresh = [*compared(model, dataset, some, k, method, options.points)]
                rows += ({"network": name} | row for row in fresh)
                told.append(written(line(method, fresh)))
                print(told[-1], flush=True)
                file = f"joint_{options.dataset}_{options.network}"
                write(rows, told, options.workdir / file)
            told.append("")


def write(rows: Sequence[dict[str, Any]], told: Sequence[str], path: Path) -> None:
    """Both files, `path` with their endings, anew after each method."""
    path.with_suffix(".md").write_text("\n".join(told) + "\n")
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
