"""Matrix of barriers and agreements along a sequence, from located rows."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from experiments.one_permutation_rows import ALONE, ANEW, NAIVE, lines
from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style
from linconn_jax.study.sequences import SequenceKind


def matrix_caption(kind: SequenceKind, found: pd.DataFrame) -> str:
    """Of `matrix`."""
    t, n = kind.symbol, kind.noun
    return (
        f"The same means as a matrix: P found at {n} {t} (rows), applied at {n} {t}′ "
        "(columns); last row naive."
    )


def agreement_caption(kind: SequenceKind, agreed: pd.DataFrame) -> str:
    """Of `agreement`."""
    t, name = kind.symbol, kind.chosen_name
    null = (
        f"Dashed, crosses: two runs on the same pair at {t} with different random keys, "
        "over all units: agreement that chance leaves, the null."
        if (agreed["draw"] > 0).any()
        else "How far two alignments of the same networks would agree is not measured "
        "here."
    )
    return (
        f"Fraction of units that P_{t} and {name}, the permutation found "
        f"{kind.chosen_where}, put in the same place, by layer and over all units; 1 "
        f"{kind.chosen_where} by definition. Two unrelated permutations of n units agree "
        f"on 1/n of them on average. {null}"
    )


def matrix(kind: SequenceKind, rows: pd.DataFrame) -> Figure:
    """Mean barriers in colours: P found at t (rows) and applied at t' (columns)."""
    widths = select.levels(rows)
    figure, axes = style.figure(10.0, 4.6 * len(widths), len(widths), 2)
    for i, width in enumerate(widths):
        for j, metric in enumerate(METRICS):
            part = select.where(rows, width=width, metric=metric)
            _matrix(figure, axes[i, j], kind, part, metric)
            axes[i, j].set_title(f"width {width}, {metric} barrier, training data")
    return figure


def _matrix(
    figure: Figure, axes: Axes, kind: SequenceKind, rows: pd.DataFrame, metric: str
) -> None:
    whole = [x for x in lines(kind, rows) if not x.again and x.source != ANEW]
    drawn = sorted(whole, key=lambda x: x.source == NAIVE)  # the naive one last
    names, places = [x.name for x in drawn], select.levels(rows, "place")
    each = [x.means.set_index("place")["mean"].reindex(places) for x in drawn]
    numbers = np.array(each, float)
    # The root, since what one permutation leaves is small beside the naive barriers.
    norm = PowerNorm(0.5, vmin=0.0)
    image = axes.imshow(numbers, cmap="viridis", norm=norm, aspect="auto")
    axes.set_yticks(range(len(names)), names)
    labels = [f"{t:.3g}" for t in places]
    axes.set_xticks(range(len(places)), labels)
    axes.tick_params("x", rotation=60 if len("".join(labels)) > 30 else 0)
    axes.set_xlabel(f"{kind.noun} {kind.symbol}′ of the interpolated networks")
    axes.set_ylabel(f"{kind.noun} {kind.symbol} at which P was found")
    axes.grid(visible=False)
    if drawn[-1].source == NAIVE:
        axes.axhline(len(names) - 1.5, color="white", linewidth=3.0)
    if numbers.size <= 300:
        middle = np.nanmax(numbers) / 4 if np.isfinite(numbers).any() else 0.0
        for (i, j), number in np.ndenumerate(numbers):
            colour = "black" if number > middle else "white"
            text = f"{number:.{2 if number < 1 else 1}f}".removeprefix("0")
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=6.5)
    unit = "nats" if metric == "loss" else "fraction"
    figure.colorbar(image, ax=axes, label=f"{metric} barrier ({unit})")


def agreement(kind: SequenceKind, rows: pd.DataFrame) -> Figure:
    """Fraction of units as in the chosen P, against t, for each layer and all.

    Beside it, over all units, that of two runs on the same pair.
    """
    widths, rows = select.levels(rows), select.where(rows, source=ALONE)
    figure, axes = style.figure(5.2 * len(widths) + 1.2, 3.8, 1, len(widths))
    for column, width in enumerate(widths):
        part = select.where(rows, width=width)
        _agreements(axes[0, column], part)
        kind.axis(axes[0, column], part["found"])
        axes[0, column].set_title(f"width {width}")
        label = f"{kind.noun} {kind.symbol} at which P was found"
        axes[0, column].set_xlabel(label)
        axes[0, column].set_ylabel(f"fraction of units as in {kind.chosen_name}")
    if len(rows["axis"].unique()) <= 14:
        axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="layer")
    return figure


def _agreements(axes: Axes, rows: pd.DataFrame) -> None:
    first, again = select.where(rows, draw=0), rows[rows["draw"] > 0]
    means = select.mean(first, ["axis", "found"]).sort_values("found")
    layers = [name for name in first["axis"].unique() if name != "all"]
    for name, colour in zip(layers, style.sequential(len(layers)), strict=True):
        line = means[means["axis"] == name]
        axes.plot(line["found"], line["mean"], color=colour, marker=".", label=name)
    whole = means[means["axis"] == "all"]
    options = {"color": "black", "linewidth": 2.4, "marker": "o"}
    axes.plot(whole["found"], whole["mean"], label="all", **options)
    null = select.mean(select.where(again, axis="all"), ["found"]).sort_values("found")
    if len(null):
        options = {"color": "black", "linestyle": "--", "marker": "x", "linewidth": 1.5}
        axes.plot(null["found"], null["mean"], label="all, two runs", **options)
    axes.set_ylim(-0.03, 1.05)
