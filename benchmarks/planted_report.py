"""How the benchmark of planted permutations is told: lines, rows and a figure."""

import csv
import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from networks import parsed

from linconn_jax.report import style


@dataclasses.dataclass(frozen=True)
class Row:
    """What one method found of one planted permutation; the shares by axis name."""

    network: str
    k: int
    noise: float
    method: str
    repeat: int
    shares: Mapping[str, float]
    recovered: float
    weights: float
    gap: float
    seconds: float


def table(rows: list[Row], methods: list[str]) -> None:
    """Prints a line for each noise and method of one network."""
    width = max(map(len, methods))
    for noise in dict.fromkeys(row.noise for row in rows):
        for method in methods:
            some = [x for x in rows if (x.noise, x.method) == (noise, method)]
            each = np.array([100 * x.recovered for x in some])
            worst = min(some, key=lambda x: x.recovered)
            least = min(worst.shares, key=worst.shares.get)
            mean = {x: np.mean([getattr(y, x) for y in some]) for x in _MEANS}
            print(
                f"  noise {noise:<5g} {method:{width}}  recovered {each.mean():6.2f} "
                f"(least {each.min():6.2f})  weights {100 * mean['weights']:+.3f}  "
                f"gap {100 * mean['gap']:.3f}  {mean['seconds']:.2f} s"
                + (
                    f"  worst {least} {100 * worst.shares[least]:.1f}"
                    if worst.shares[least] < 1
                    else ""
                )
            )


_MEANS = ("weights", "gap", "seconds")


def write(rows: list[Row], methods: list[str], folder: Path) -> None:
    """Writes all rows, and a table of the shares with a line for each method."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "planted.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        fields = [f.name for f in dataclasses.fields(Row) if f.name != "shares"]
        writer.writerow([*fields, "least_share"])
        for row in rows:
            values = [getattr(row, field) for field in fields]
            writer.writerow([*values, min(row.shares.values())])
    told = []
    for network in dict.fromkeys(row.network for row in rows):
        own = [row for row in rows if row.network == network]
        noises = sorted({row.noise for row in own})
        lines = [[network, *(f"noise {x:g}" for x in noises), "seconds"]]
        lines.append(["---"] * len(lines[0]))
        for method in methods:
            some = [row for row in own if row.method == method]
            cells = [_share(row for row in some if row.noise == x) for x in noises]
            seconds = statistics.median(row.seconds for row in some)
            lines.append([method, *cells, f"{seconds:.2f}"])
        told += ["| " + " | ".join(line) + " |" for line in lines]
        told.append("")
    (folder / "planted.md").write_text("\n".join(told))


def _share(rows: Iterable[Row]) -> str:
    """Mean in percent, and the least where there is a difference."""
    each = [100 * row.recovered for row in rows]
    mean, least = f"{np.mean(each):.1f}", f"{min(each):.1f}"
    return mean if mean == least else f"{mean} ({least})"


def draw(rows: list[Row], methods: list[str], folder: Path) -> None:
    """A figure with one panel for each network."""
    networks = list(dict.fromkeys(row.network for row in rows))
    columns = min(3, len(networks))
    lines = math.ceil(len(networks) / columns)
    with style.context():
        made, axes = style.figure(3.2 * columns, 2.6 * lines + 0.5, lines, columns)
        for panel, network in zip(axes.flat, networks, strict=False):
            for method in methods:
                _line(
                    panel,
                    [x for x in rows if (x.network, x.method) == (network, method)],
                )
            panel.set_title(network.replace("_", " "))
            panel.set_xscale("symlog", linthresh=0.05)
            noises = sorted({row.noise for row in rows if row.network == network})
            panel.set_xticks(noises, [f"{x:g}" for x in noises], minor=False)
            panel.minorticks_off()
            panel.set_xlabel("noise / weights")
            panel.set_ylabel("units recovered (%)")
            panel.set_ylim(-3, 103)
        for panel in axes.flat[len(networks) :]:
            panel.set_axis_off()
        style.legend_above(made, 2)
        style.write(made, folder, "planted")


def _line(panel: Any, rows: list[Row]) -> None:
    if not rows:
        return
    method, settings = parsed(rows[0].method)
    look, told = style.look(method), [f"{x} {y}" for x, y in settings.items()]
    noises = sorted({row.noise for row in rows})
    each = [[100 * x.recovered for x in rows if x.noise == noise] for noise in noises]
    label = ", ".join([look.label, *told])
    options = {"color": look.colour, "marker": look.marker, "label": label}
    panel.plot(noises, [np.mean(x) for x in each], "--" if settings else "-", **options)
