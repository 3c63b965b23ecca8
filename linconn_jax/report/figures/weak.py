"""Weak linear connectivity: barriers of pairs, and what lies between their ends."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style


def weak_width(rows: pd.DataFrame) -> Figure | None:
    """Barrier against width, a line for each method; loss and error, train and test."""
    found = select.barriers(select.weak(rows))
    if found.empty:
        return None
    figure, axes = style.figure(9.0, 6.0, 2, 2, sharey="row")
    for i, metric in enumerate(METRICS):
        largest = found.loc[found["metric"] == metric, "value"].max()
        for j, (split, name) in enumerate(style.SPLITS.items()):
            part = found[(found["metric"] == metric) & (found["split"] == split)]
            for method in select.methods(part):
                by_width(axes[i, j], part[part["method"] == method], method)
            style.width_axis(axes[i, j], select.widths(found))
            style.barrier_axis(axes[i, j], metric, largest)
            axes[i, j].set_title(f"{metric}, {name}")
            axes[i, j].label_outer()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def by_width(
    axes: Axes,
    rows: pd.DataFrame,
    method: str,
    *,
    label: str | None = None,
    lightness: float = 0.0,
    dots: bool = True,
    **options: object,
) -> None:
    """The mean at each width as a line in the method's colour, and single values."""
    look = style.look(method)
    colour = style.lighter(look.colour, lightness)
    if dots:
        shift = {"naive": 0.94, "random": 0.98, "weight_matching": 1.02}.get(
            method, 1.06
        )
        axes.plot(
            rows["width"].astype(float) * shift,
            rows["value"],
            color=colour,
            marker=".",
            linestyle="none",
            markersize=4.0,
            markeredgewidth=0.0,
            alpha=0.3,
        )
    means = select.mean(rows, ["width"]).sort_values("width")
    options = {"marker": look.marker, "label": label or look.label} | options
    axes.plot(means["width"], means["mean"], color=colour, **options)


def weak_segment(rows: pd.DataFrame) -> Figure | None:
    """Loss and error along the segment between two networks, before and after."""
    found = select.values(select.weak(rows))
    found = found[(found["split"] == "train") & (found["method"] != "random")]
    if found.empty:
        return None
    widths = few(select.widths(found))
    found = found[found["width"].isin(widths)].copy()
    found["alpha"] = found["point"].str.partition(",")[2].astype(float)
    figure, axes = style.figure(
        3.1 * len(widths) + 0.4, 5.4, 2, len(widths), sharey="row", sharex=True
    )
    for i, metric in enumerate(METRICS):
        for j, width in enumerate(widths):
            part = found[(found["metric"] == metric) & (found["width"] == width)]
            for method in select.methods(part):
                _segment(axes[i, j], part[part["method"] == method], method)
            axes[i, j].set_ylim(bottom=0.0)
            axes[i, j].set_title(f"width {width}" if i == 0 else "")
            axes[i, j].set_xlabel("α" if i == 1 else "")
        axes[i, 0].set_ylabel(style.UNITS[metric])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def few(widths: list[int]) -> list[int]:
    """The smallest, the middle and the largest width."""
    return sorted({widths[0], widths[len(widths) // 2], widths[-1]})


def _segment(axes: Axes, rows: pd.DataFrame, method: str) -> None:
    look = style.look(method)
    table = rows.pivot_table(
        index="seeds", columns="alpha", values="value", dropna=False
    )
    alpha = table.columns.to_numpy(float)
    lines = [np.stack([alpha, line], axis=1) for line in table.to_numpy(float)]
    faint = LineCollection(lines, colors=look.colour, linewidths=0.7, alpha=0.2)
    axes.add_collection(faint)
    means = table.mean(axis=0, skipna=False)
    axes.plot(alpha, means, color=look.colour, label=look.label)
    axes.autoscale_view()
