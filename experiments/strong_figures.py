"""Figures of strong connectivity, from the barriers and values of `strong` alone."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation

from linconn_jax.metrics import METRICS
from linconn_jax.report import lines, select, style
from linconn_jax.report.style import number

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
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


def triangles(rows: pd.DataFrame) -> Figure:
    """Training loss over the triangle of three networks, naive and aligned.

    Args:
      rows: of `first_three`; at least one value.
    """
    inside = select.where(rows, quantity="value")
    widths, methods = select.levels(inside), select.methods(inside)
    aligning = select.methods(inside, aligning=True)
    size = (2.9 * len(methods) + 1.5, 2.6 * len(widths))
    figure, axes = style.figure(*size, len(widths), len(methods))
    others = [m for m in methods if m not in aligning]
    for several, name, colours in (
        (others, "not aligned", "viridis"),
        (aligning, "aligned", "magma"),
    ):
        values = inside.loc[inside["method"].isin(several), "value"]
        levels = np.linspace(0.0, max([1e-3, *values[np.isfinite(values)]]), 25)
        columns = [methods.index(method) for method in several]
        for i, width in enumerate(widths):
            for j in columns:
                part = select.where(rows, width=width, method=methods[j])
                axes[i, j].set_axis_off()
                if len(part):
                    drawn = _surface(axes[i, j], part, levels, colours)
                    label = style.look(methods[j]).label
                    axes[i, j].set_title(f"width {width}, {label}")
        if several:
            label = f"training loss (nats), {name}"
            options = {"shrink": 0.8, "ticks": MaxNLocator(6)}
            figure.colorbar(drawn, ax=axes[:, columns], label=label, **options)
    return figure


def _surface(
    axes: Axes, rows: pd.DataFrame, levels: np.ndarray, colours: str
) -> object:
    inside = select.where(rows, quantity="value")
    places = np.array([*inside["point"]]) @ CORNERS
    numbers = np.nan_to_num(inside["value"].to_numpy(float), nan=np.inf)
    clipped = np.clip(numbers, levels[0], levels[-1])
    mesh = Triangulation(places[:, 0], places[:, 1])
    drawn = axes.tricontourf(mesh, clipped, levels=levels, cmap=colours)
    drawn.set_edgecolor("face")
    axes.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color="black", linewidth=1.0)
    for seed, (x, y) in zip(rows["seeds"].iloc[0], CORNERS, strict=True):
        below = y == 0.0
        axes.annotate(
            f"seed {seed}",
            (x, y),
            xytext=(0, -4 if below else 3),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            fontsize=8,
        )
    told = "".join(f"barrier {number(x)} nats" for x in select.barriers(rows)["value"])
    axes.text(0.5, -0.24, told, ha="center", fontsize=8.5)
    axes.set_aspect("equal")
    axes.set_xlim(-0.15, 1.15)
    axes.set_ylim(-0.26, 1.0)
    return drawn
