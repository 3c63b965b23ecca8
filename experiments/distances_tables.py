"""Tables and sentences of distances, from their rows."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from experiments import distances_figures as figures
from experiments.distances_figures import kinds, layers
from linconn_jax.report import Spread, Table, select
from linconn_jax.report.sentences import count
from linconn_jax.report.style import number, short
from linconn_jax.report.tables import RANGES, spread


def by_width(ends: pd.DataFrame) -> Table:
    """Each metric by width and by what the second network is."""
    lines = []
    for width in select.levels(ends):
        for (_, _, name), of in kinds(select.where(ends, width=width, axis="all")):
            own, left = of[~of["is_left_out"]], of[of["is_left_out"]]
            each = [spread(select.where(own, metric=m)) for m in figures.METRICS]
            pairs = (str(part["seeds"].nunique()) for part in (own, left))
            lines.append((short(width), name, *pairs, *each))
    caption = (
        "Distances between two networks at the end of training over all trained "
        "parameters: the normalised squared one (0 of equal, 2 of uncorrelated networks)"
        f", the cosine, and L2; mean over pairs{RANGES}"
    )
    headers = ("width", "second network", "pairs", "left out", *figures.METRICS)
    return Table(caption, headers, lines)


def by_layer(ends: pd.DataFrame) -> list[Table]:
    """The normalised distance of each layer at the largest width."""
    if ends.empty:
        return []
    width = select.levels(ends)[-1]
    ends = select.where(ends, width=width, metric="normalised")
    each, names = kinds(ends), layers(ends)
    lines = [
        (name, *(spread(select.where(part, axis=axis)) for _, part in each))
        for axis, name in {**names, "all": "all"}.items()
    ]
    caption = (
        f"Normalised squared distance at the end of training, width {short(width)}, "
        f"layer by layer: mean over pairs{RANGES}"
    )
    return [Table(caption, ("layer", *(name for (*_, name), _ in each)), lines)]


def by_epoch(rows: pd.DataFrame) -> list[Table]:
    """The normalised distance along training."""
    lines = [
        (short(width), f"{epoch:.3g}", *_cells(select.where(rows, width=width), epoch))
        for width in select.levels(rows)
        for epoch in select.levels(select.where(rows, width=width), "until")
    ]
    caption = (
        "Normalised squared distance along training over all trained parameters: of two "
        "runs, and of a network from its own start and to its own end; mean over pairs "
        f"or networks{RANGES}"
    )
    headers = ("width", "epoch", *figures.RUNS.values(), *figures.OWN.values())
    return [Table(caption, headers, lines)] if lines else []


def _cells(rows: pd.DataFrame, epoch: float) -> Iterator[Spread | str]:
    for name in (*figures.RUNS, *figures.OWN):
        line = figures.line(rows, name)
        yield spread(line[line["at"] == epoch])


def _mean(rows: pd.DataFrame) -> float:
    return float(rows["value"].mean()) if len(rows) else np.nan


def brought(rows: pd.DataFrame, method: str) -> str:
    """What a method brings at one width, beside what it brings of unrelated vectors."""
    found = {(m, bool(control)): part for (m, control, _), part in kinds(rows)}
    if not {("naive", False), (method, False), (method, True)} <= found.keys():
        return ""
    plain, own, other = (
        _mean(found[x]) for x in (("naive", False), (method, False), (method, True))
    )
    width, pairs = short(rows["width"].iloc[0]), count(found[method, False], "pair")
    label = kinds(found[method, False])[0][0][2]
    return (
        f"Width {width}, {label}: the normalised squared distance of {pairs} goes from "
        f"{number(plain)} to {number(own)} (means; 2 is uncorrelated); of a random "
        f"direction as long as the second network to {number(other)}."
    )


def with_width(rows: pd.DataFrame, name: str) -> str:
    """How the distance goes with width; nothing of one width."""
    means = select.mean(rows, ["width"])
    if len(means) < 2:
        return ""
    falls, steps = (np.diff(means["mean"]) < 0).sum(), len(means) - 1
    first, last = means.iloc[0], means.iloc[-1]
    return (
        f"{name[:1].upper()}{name[1:]}: the mean normalised squared distance is "
        f"{number(first['mean'])} at width {short(first['width'])} and "
        f"{number(last['mean'])} at width {short(last['width'])}; it falls at {falls} of "
        f"{steps} steps of width."
    )


def in_training(rows: pd.DataFrame) -> str:
    """How the distances of one width go along training."""
    lines = {name: figures.line(rows, name) for name in (*figures.RUNS, "start")}
    runs = {
        name: select.mean(line, ["at"]).sort_values("at")["mean"].to_numpy(float)
        for name, line in lines.items()
    }
    if any(not len(values) for values in runs.values()):
        return ""
    said = ", ".join(
        f"{figures.RUNS[name]} {number(runs[name][0])} to {number(runs[name][-1])}"
        for name in figures.RUNS
    )
    return (
        f"Width {short(rows['width'].iloc[0])}, from the first checkpoint to the last: "
        f"{said} ({count(lines['naive'], 'pair')}); at the end a network is "
        f"{number(runs['start'][-1])} from its own start (normalised squared distances, "
        "means)."
    )
