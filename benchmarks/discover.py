"""The symmetries of every model of the zoo, found and tested: the table of the docs.

    python benchmarks/discover.py [--names=vit,resnet20-layer] [--full_size]

One row a model, in Markdown. `groups` are the sets of units that permute freely, written
units × how many axis names of so many; `under` marks names that lie under another one,
each unit of which has a permutation of its own inside. `s` is the time to trace the
function and find the spec, without running it. The tests are those of
`permutation.verify`, on random variables in float64: (i) the largest change of the
outputs, relative to their scale, under random permutations; (ii) labels dropped or
swapped, and how many were noticed; (iii) symmetries that were found beside the spec.
"""

import argparse
import collections
import sys
import time
from pathlib import Path

import jax

from linconn_jax import permutation
from linconn_jax.permutation.spec import bind

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from zoo import CASES, FULL_SIZE, Case  # noqa: E402


def groups(spec: permutation.Spec, variables: object) -> str:
    """`64×3, 12×12 under` for the units of a spec."""
    found = bind(spec, variables)
    count = collections.Counter(
        (found.sizes[name], " under" if above else "")
        for name, above in found.parents.items()
    )
    ordered = sorted(count.items(), key=lambda item: (item[0][1], -item[0][0]))
    return ", ".join(f"{size}×{n}{under}" for (size, under), n in ordered)


def row(case: Case, *, tested: bool) -> str:
    """The line of a model."""
    variables, inputs = case.variables(), case.inputs()
    began = time.perf_counter()
    spec = permutation.discover(case.apply, variables, *inputs)
    seconds = time.perf_counter() - began
    names = len(permutation.sizes(spec, variables))
    cells = [case.name, str(names), groups(spec, variables), f"{seconds:.2f}"]
    if tested:
        report = permutation.verify(case.apply, spec, variables, *inputs, seconds=None)
        report.raise_if_wrong()
        missed = "; ".join(report.completeness.missed) or "none"
        cells += [f"{report.function.worst:.0e}", _noticed(report), missed]
    return f"| {' | '.join(cells)} |"


def _noticed(report: permutation.Report) -> str:
    found = report.labels
    tried = found.dropped.tried + found.swapped.tried
    idle = f", {len(found.idle)} have no effect" if found.idle else ""
    return f"{tried - len(found.unnoticed) - len(found.idle)} of {tried}{idle}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", help="models, comma-separated; all by default")
    parser.add_argument(
        "--full_size", action="store_true", help="time full-size networks, untested"
    )
    options = parser.parse_args()
    chosen = FULL_SIZE if options.full_size else CASES
    if options.names:
        chosen = [case for case in chosen if case.name in options.names.split(",")]
    head = ["model", "names", "groups", "s"]
    head += [] if options.full_size else ["(i) change", "(ii) noticed", "(iii) missed"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    for case in chosen:
        print(row(case, tested=not options.full_size), flush=True)


if __name__ == "__main__":
    main()
