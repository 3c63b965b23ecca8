"""Means as lines: against a column, by default the width, or along segments."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from linconn_jax import align
from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style


def against(
    axes: Axes,
    rows: pd.DataFrame,
    method: str,
    *,
    column: str = "width",
    label: str | None = None,
    lightness: float = 0.0,
    dots: bool = True,
    **options: object,
) -> None:
    """The mean at each level of a column as a line, and single values as dots.

    Args:
      axes: to draw on.
      rows: of one line.
      method: gives colour, marker and label.
      column: of numbers, for the horizontal axis.
      label: in the legend, instead of the method's.
      lightness: how far the colour is moved towards white, 0..1.
      dots: whether single values are shown.
      **options: of `Axes.plot` for the line.
    """
    look = style.look(method)
    colour = style.lighter(look.colour, lightness)
    if dots:
        place = [*align.methods(), method].index(method)
        shift = 0.94 + 0.04 * (place % 4)  # dots of different methods beside each other
        axes.plot(
            rows[column].astype(float) * shift,
            rows["value"],
            color=colour,
            marker=".",
            linestyle="none",
            markersize=4.0,
            markeredgewidth=0.0,
            alpha=0.3,
        )
    means = select.mean(rows, [column])
    options = {"marker": look.marker, "label": label or look.label} | options
    axes.plot(means[column], means["mean"], color=colour, **options)


def along(axes: Axes, rows: pd.DataFrame, method: str) -> None:
    """Values along segments against α: the mean as a line, each segment a thin one."""
    look = style.look(method)
    rows = rows.assign(alpha=[point[1] for point in rows["point"]])
    each = [
        one.sort_values("alpha")[["alpha", "value"]].to_numpy(float)
        for _, one in rows.groupby("seeds")
    ]
    faint = LineCollection(each, colors=look.colour, linewidths=0.7, alpha=0.2)
    axes.add_collection(faint)
    means = select.mean(rows, ["alpha"])
    axes.plot(means["alpha"], means["mean"], color=look.colour, label=look.label)
    axes.autoscale_view()


def segments(rows: pd.DataFrame, column: str, titles: Mapping[Any, str]) -> Figure:
    """Loss and error along segments, each method's: a panel for levels of a column.

    Args:
      rows: values at the points of segments.
      column: whose levels have panels of their own.
      titles: of the panels, by level, in their order.
    """
    size = (3.1 * len(titles) + 0.4, 5.4)
    figure, axes = style.figure(*size, 2, len(titles), sharey="row", sharex=True)
    for i, metric in enumerate(METRICS):
        for j, (level, title) in enumerate(titles.items()):
            part = select.where(rows, metric=metric, **{column: level})
            for method in select.methods(part):
                along(axes[i, j], select.where(part, method=method), method)
            axes[i, j].set_ylim(bottom=0.0)
            axes[i, j].set_title(title if i == 0 else "")
            axes[i, j].set_xlabel("α" if i == 1 else "")
        axes[i, 0].set_ylabel(style.UNITS[metric])
    style.legend_above(figure)
    return figure


def panel(axes: Axes, largest: float, **legend: object) -> None:
    """Finishes a panel of the overview, of training loss barriers up to `largest`."""
    style.barrier_axis(axes, "loss", largest)
    axes.set_ylabel("training loss barrier (nats)")
    axes.legend(fontsize=7, title_fontsize=7, **legend)
