"""How the networks were trained."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style


def training(rows: pd.DataFrame) -> Figure | None:
    """Training loss and error against the epoch; each seed, and their mean."""
    found = select.training(rows)
    if found.empty:
        return None
    widths = select.widths(found)
    figure, axes = style.figure(9.0, 3.7, 1, 2)
    for column, metric in enumerate(METRICS):
        part = found[found["metric"] == metric]
        for width, colour in zip(widths, style.sequential(len(widths)), strict=True):
            _seeds(axes[0, column], part[part["width"] == width], colour, f"{width}")
        style.epoch_axis(axes[0, column], part["epoch"])
        axes[0, column].set_xlabel("epoch")
        axes[0, column].set_ylabel(f"training {style.UNITS[metric]}")
    if (found.loc[found["metric"] == "loss", "value"] > 0).all():
        axes[0, 0].set_yscale("log")
        # Narrow ranges hold one power of ten or none.
        axes[0, 0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes[0, 0].yaxis.set_minor_formatter(NullFormatter())
    axes[0, 1].set_ylim(bottom=0.0)
    axes[0, 1].legend(title="width")
    return figure


def _seeds(axes: Axes, rows: pd.DataFrame, colour: tuple, label: str) -> None:
    for _, one in rows.sort_values("epoch").groupby("seeds"):
        axes.plot(one["epoch"], one["value"], color=colour, linewidth=0.7, alpha=0.3)
    means = select.mean(rows, ["epoch"]).sort_values("epoch")
    axes.plot(means["epoch"], means["mean"], color=colour, marker=".", label=label)
