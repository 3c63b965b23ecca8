"""Figures of simultaneous connectivity, from training barriers and agreements."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style

LINES = (
    "Mean training barrier between two networks at epoch t′ when the second is permuted "
    "by P_t, found at epoch t: a line for each t, in its colour of the scale; thick: "
    "P_T, found at the end. Diamonds: found anew at each t′; dashed: naive. The vertical "
    "axis is linear up to 0.02 and logarithmic above; dotted: error barrier 0.02."
)
MATRIX = (
    "The same means as a matrix: P found at epoch t (rows), applied at epoch t′ "
    "(columns); last row naive."
)
AGREEMENT = (
    "Fraction of units that P_t and P_T, the permutation found at the end, put in the "
    "same place, by layer and over all units; 1 at the end by definition. Two unrelated "
    "permutations of n units agree on 1/n of them on average; how far two alignments of "
    "the same networks would agree is not measured here."
)


def along_training(rows: pd.DataFrame) -> Figure:
    """Barrier at every epoch t' of the P found at epoch t; a line for each t."""
    widths = select.levels(rows)
    figure, axes = style.figure(9.6, 3.7 * len(widths), len(widths), 2)
    for i, width in enumerate(widths):
        for j, metric in enumerate(METRICS):
            part = select.where(rows, width=width, metric=metric)
            means = select.mean(part, ["fit_epoch", "epoch"]).sort_values("epoch")
            sequences(axes[i, j], means)
            largest = means["mean"].max()
            style.barrier_axis(axes[i, j], metric, largest)
            style.epoch_axis(axes[i, j], means["epoch"])
            axes[i, j].set_xlabel("epoch t′ of the interpolated networks")
            axes[i, j].set_title(f"width {width}, {metric}, training data")
        epochs = select.levels(select.where(rows, width=width), "fit_epoch")
        if epochs:
            style.level_bar(figure, axes[i, 1], epochs, "epoch t at which P was found")
    style.legend_above(figure)
    return figure


def sequences(axes: Axes, means: pd.DataFrame, *, only: tuple[float, ...] = ()) -> None:
    """Lines of the mean barrier over t' for each t (or `only` some), naive, re-matched.

    Args:
      axes: to draw on.
      means: of barriers by `fit_epoch` (missing: naive) and `epoch`, ascending.
      only: the epochs t to draw, each named; default all, of which P_T is named.
    """
    epochs = sorted(means["fit_epoch"].dropna().unique())
    for epoch, colour in zip(epochs, style.sequential(len(epochs)), strict=True):
        if only and epoch not in only:
            continue
        line = means[means["fit_epoch"] == epoch]
        last = " (P_T)" if epoch == epochs[-1] else ""
        axes.plot(
            line["epoch"],
            line["mean"],
            color=colour,
            marker=".",
            linewidth=2.4 if last else 1.3,
            label=f"{epoch:.3g}{last}" if only else "P_T" if last else None,
        )
    same = means[means["fit_epoch"] == means["epoch"]]
    axes.plot(
        same["epoch"],
        same["mean"],
        color="black",
        marker="D",
        markersize=4.0,
        markerfacecolor="none",
        linestyle="none",
        zorder=3.0,
        label="anew at t = t′",
    )
    naive = means[means["fit_epoch"].isna()]
    axes.plot(
        naive["epoch"], naive["mean"], "k--x", linewidth=1.5, label="naive", zorder=1.5
    )


def matrix(rows: pd.DataFrame) -> Figure:
    """Mean barriers in colours: P found at t (rows) and applied at t' (columns)."""
    widths = select.levels(rows)
    figure, axes = style.figure(10.0, 4.6 * len(widths), len(widths), 2)
    for i, width in enumerate(widths):
        for j, metric in enumerate(METRICS):
            part = select.where(rows, width=width, metric=metric)
            _matrix(figure, axes[i, j], part, metric)
            axes[i, j].set_title(f"width {width}, {metric} barrier, training data")
    return figure


def _matrix(figure: Figure, axes: Axes, rows: pd.DataFrame, metric: str) -> None:
    means = select.mean(rows, ["fit_epoch", "epoch"])
    table = means.pivot(index="fit_epoch", columns="epoch", values="mean")
    table = table.loc[[*table.index.dropna(), *table.index[table.index.isna()]]]
    numbers = table.to_numpy(float)
    image = axes.imshow(numbers, cmap="viridis", vmin=0.0, aspect="auto")
    names = ["naive" if np.isnan(t) else f"{t:.3g}" for t in table.index]
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(table.shape[1]), [f"{t:.3g}" for t in table.columns])
    axes.set_xlabel("epoch t′ of the interpolated networks")
    axes.set_ylabel("epoch t at which P was found")
    axes.grid(visible=False)
    if "naive" in names:
        axes.axhline(len(names) - 1.5, color="white", linewidth=3.0)
    if numbers.size <= 200:
        middle = np.nanmax(numbers) / 2 if np.isfinite(numbers).any() else 0.0
        for (i, j), number in np.ndenumerate(numbers):
            colour = "black" if number > middle else "white"
            text = f"{number:.2f}".removeprefix("0")
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=6.5)
    unit = "nats" if metric == "loss" else "fraction"
    figure.colorbar(image, ax=axes, label=f"{metric} barrier ({unit})")


def agreement(rows: pd.DataFrame) -> Figure:
    """Fraction of units on which P_t and P_T agree, against t, for each layer and all."""
    widths = select.levels(rows)
    figure, axes = style.figure(5.2 * len(widths) + 1.2, 3.8, 1, len(widths))
    for column, width in enumerate(widths):
        part = select.where(rows, width=width)
        _agreements(axes[0, column], part)
        style.epoch_axis(axes[0, column], part["fit_epoch"])
        axes[0, column].set_title(f"width {width}")
        axes[0, column].set_xlabel("epoch t at which P was found")
        axes[0, column].set_ylabel("fraction of units as in P_T")
    if len(part["axis"].unique()) <= 14:
        axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="layer")
    return figure


def _agreements(axes: Axes, rows: pd.DataFrame) -> None:
    means = select.mean(rows, ["axis", "fit_epoch"]).sort_values("fit_epoch")
    layers = [name for name in rows["axis"].unique() if name != "all"]
    for name, colour in zip(layers, style.sequential(len(layers)), strict=True):
        line = means[means["axis"] == name]
        axes.plot(line["fit_epoch"], line["mean"], color=colour, marker=".", label=name)
    whole = means[means["axis"] == "all"]
    options = {"color": "black", "linewidth": 2.4, "marker": "o"}
    axes.plot(whole["fit_epoch"], whole["mean"], label="all", **options)
    axes.set_ylim(-0.03, 1.05)
