"""Figures of stability: barriers of copies against the epoch that they share."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.stability_words import APART, COPIES, SAME, parts
from linconn_jax.metrics import METRICS
from linconn_jax.report import lines, select, style

CAPTION = (
    "Barrier at the end of training between a network and copies that share everything "
    "with it up to epoch k (0: only the initialisation) and then have SGD noise of their "
    "own, against k. Lines are means over pairs, bands and dots their range and single "
    "values. Dashed: independent networks, which share nothing, mean and range. Circles: "
    "copies with the same noise, which are the network itself. The axis of k is linear "
    "up to 1 and logarithmic above, that of barriers linear up to 0.02; dotted: error "
    "barrier 0.02."
)
_SPLITS = {"train": "training data", "test": "test data"}


def against_epoch(rows: pd.DataFrame) -> Figure:
    """Loss and error, training and test data; two columns for each width."""
    widths = select.levels(rows)
    figure, axes = style.figure(4.6 * 2 * len(widths), 6.4, 2, 2 * len(widths))
    for i, metric in enumerate(METRICS):
        largest = select.where(rows, metric=metric)["value"].max()
        for j, width in enumerate(widths):
            for axis, split in zip(axes[i, 2 * j :], _SPLITS, strict=False):
                part = select.where(rows, width=width, metric=metric, split=split)
                _against(axis, parts(part), dots=True)
                style.barrier_axis(axis, metric, largest)
                axis.set_title(f"width {width}: {metric}, {_SPLITS[split]}")
                axis.label_outer()
    style.legend_above(figure, 3)
    return figure


def _against(axes: Axes, rows: Mapping[str, pd.DataFrame], *, dots: bool) -> None:
    copies, apart, same = rows[COPIES], rows[APART], rows[SAME]
    for method in reversed(select.methods(copies)):  # naive, the thin line, on top
        own, look = select.where(copies, method=method), style.look(method)
        thin = {"linewidth": 1.3} if method == "naive" else {"linewidth": 3.0}
        lines.against(
            axes,
            own,
            method,
            column="spawned_at",
            label=f"copies, {look.label}",
            dots=dots,
            **thin,
        )
        means = select.mean(own, ["spawned_at"])
        band = (means["spawned_at"].astype(float), means["min"], means["max"])
        axes.fill_between(*band, color=look.colour, alpha=0.12, linewidth=0)
        values = select.where(apart, method=method)["value"]
        if len(values):
            axes.axhspan(
                values.min(), values.max(), color=look.colour, alpha=0.07, linewidth=0
            )
            label = f"independent, {look.label}"
            dashed = {"color": look.colour, "linestyle": "--", "linewidth": 1.3}
            axes.axhline(values.mean(), label=label, **dashed)
    if len(same):
        none = select.mean(same, ["spawned_at"])
        options = {"color": "#d55e00", "linestyle": "none", "marker": "o", "zorder": 4}
        options |= {"markerfacecolor": "none", "markersize": 9.0}
        label = "copies, same noise"
        axes.plot(none["spawned_at"], none["max"], label=label, **options)
    style.epoch_axis(axes, copies["spawned_at"].astype(float))
    axes.set_xlabel("epoch k up to which copies share everything")


def panel(rows: Mapping[str, pd.DataFrame], width: int, axes: Axes) -> None:
    """The panel of the overview: training loss barriers of one width."""
    axes.set_title("stability: copies that share the past")
    _against(axes, rows, dots=False)
    axes.set_xlabel(f"epoch k up to which copies are one (width {width})")
    lines.panel(axes, max(part["value"].max() for part in rows.values() if len(part)))
