"""Figures of strong connectivity, from the barriers and values of `strong` alone."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconn_jax.metrics import METRICS
from linconn_jax.report import lines, select, style

_STYLES = (
    {"linestyle": "--", "marker": "^", "lightness": 0.25},
    {"linestyle": ":", "marker": "D", "lightness": 0.4},
    {"linestyle": "-.", "marker": "P", "lightness": 0.55},
)


def kinds(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Pairs, pairs through a third network, and the smallest and largest simplices."""
    pair, third = rows["k"] == 2, rows["path"] == "through"
    found = {
        "pair": rows[pair & ~third],
        "pair, through a third network": rows[pair & third],
    }
    sizes = [int(k) for k in select.levels(rows, "k") if k > 2]
    for k in sorted({*sizes[:1], *sizes[-1:]}):
        found[f"simplex of {k} networks"] = rows[rows["k"] == k]
    return {kind: part for kind, part in found.items() if len(part)}


def against_width(rows: pd.DataFrame) -> Figure:
    """Training barriers against width; a column for each method."""
    methods = select.methods(rows, aligning=True)
    size = (5.0 * len(methods), 6.4)
    figure, axes = style.figure(*size, 2, len(methods), sharey="row")
    for i, metric in enumerate(METRICS):
        part = select.where(rows, metric=metric)
        for j, method in enumerate(methods):
            shapes(axes[i, j], part, method)
            style.level_axis(axes[i, j], select.levels(rows))
            style.barrier_axis(axes[i, j], metric, part["value"].max())
            axes[i, j].set_title(f"{style.look(method).label}: {metric}, training data")
            axes[i, j].label_outer()
    style.legend_above(figure, 3)
    return figure


def shapes(axes: Axes, rows: pd.DataFrame, method: str, *, dots: bool = True) -> None:
    """Lines over width: the naive pair, and by one method every kind there is."""
    plain = kinds(select.where(rows, method="naive")).get("pair", rows.iloc[:0])
    lines.against(axes, plain, "naive", label="pair, naive", dots=dots)
    others = [kind for kind in kinds(rows[rows["method"] != "naive"]) if kind != "pair"]
    styles = dict(zip(others, _STYLES, strict=False))
    for kind, part in kinds(select.where(rows, method=method)).items():
        label = "pair, aligned" if kind == "pair" else kind
        options = styles.get(kind, {})
        lines.against(axes, part, method, label=label, dots=dots, **options)


def first_three(rows: pd.DataFrame) -> pd.DataFrame:
    """Training loss of the first three networks, at a middle and the largest width."""
    found = select.where(rows, k=3, split="train", metric="loss")
    if found.empty:
        return found
    widths = select.few(select.levels(found))[-2:]
    first = found["seeds"] == min(found["seeds"])
    return found[first & found["width"].isin(widths)]
