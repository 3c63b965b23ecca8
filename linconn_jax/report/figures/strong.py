"""Strong linear connectivity: pairs through a third network, and simplices."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation

from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style
from linconn_jax.report.figures.weak import by_width, few
from linconn_jax.report.style import number

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])


def strong_width(rows: pd.DataFrame) -> Figure | None:
    """Barrier against width of pairs and simplices; a column for each method."""
    found = select.barriers(rows)
    found = found[found["split"] == "train"]
    columns = strong_methods(found)
    if not columns:
        return None
    size = (5.0 * len(columns), 6.4)
    figure, axes = style.figure(*size, 2, len(columns), sharey="row")
    shown = pd.concat([select.weak(found), select.through(found)])
    shown = pd.concat([shown, select.simplices(found)])
    for i, metric in enumerate(METRICS):
        part = shown[shown["metric"] == metric]
        for j, method in enumerate(columns):
            shapes(axes[i, j], part, method)
            style.width_axis(axes[i, j], select.widths(shown))
            style.barrier_axis(axes[i, j], metric, part["value"].max())
            axes[i, j].set_title(f"{style.look(method).label}: {metric}, training data")
            axes[i, j].label_outer()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def strong_methods(rows: pd.DataFrame) -> list[str]:
    """The methods by which more than direct pairs were looked at."""
    found = pd.concat([select.through(rows), select.simplices(rows)])
    return [m for m in select.methods(found) if m not in ("naive", "random")]


def shapes(axes: Axes, rows: pd.DataFrame, method: str, *, dots: bool = True) -> None:
    """One method's lines over width: naive, direct, through a third, simplices."""
    pairs = select.weak(rows)
    by_width(
        axes, pairs[pairs["method"] == "naive"], "naive", label="pair, naive", dots=dots
    )
    own = rows[rows["method"] == method]
    by_width(axes, select.weak(own), method, label="pair, aligned", dots=dots)
    styles = iter([("--", "^", 0.25), (":", "D", 0.4), ("-.", "P", 0.55)])
    for label, part in others(own).items():
        line, marker, lightness = next(styles, ("-", ".", 0.6))
        options = {"linestyle": line, "marker": marker, "lightness": lightness}
        by_width(axes, part, method, label=label, dots=dots, **options)


def others(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Pairs through a third network, simplices of three, and of as many as there are."""
    found = {"pair, through a third network": select.through(rows)}
    sizes = sorted(int(k) for k in select.simplices(rows)["k"].unique())
    for k in sorted({*sizes[:1], *sizes[-1:]}):
        found[f"simplex of {k} networks"] = select.simplices(rows, k)
    return {label: part for label, part in found.items() if not part.empty}


def simplex_triangle(rows: pd.DataFrame) -> Figure | None:
    """Training loss over the triangle of three networks, naive and aligned."""
    found = triangles(rows)
    inside = select.values(found)
    if inside.empty:
        return None
    widths, methods = select.widths(inside), select.methods(inside)
    size = (2.9 * len(methods) + 0.9, 2.6 * len(widths))
    figure, axes = style.figure(*size, len(widths), len(methods))
    finite = inside["value"][np.isfinite(inside["value"])]
    levels = np.linspace(0.0, max([1e-3, *finite]), 25)
    for i, width in enumerate(widths):
        for j, method in enumerate(methods):
            part = (found["width"] == width) & (found["method"] == method)
            axes[i, j].set_axis_off()
            if part.any():
                drawn = _surface(axes[i, j], found[part], levels)
                axes[i, j].set_title(f"width {width}, {style.look(method).label}")
    bar = figure.colorbar(drawn, ax=axes, label="training loss (nats)", shrink=0.8)
    bar.locator = MaxNLocator(6)
    bar.update_ticks()
    return figure


def triangles(rows: pd.DataFrame) -> pd.DataFrame:
    """Training loss of the first three networks, at a middle and the largest width."""
    found = select.simplices(rows, 3)
    found = found[(found["split"] == "train") & (found["metric"] == "loss")]
    if found.empty:
        return found
    one = found["seeds"] == min(found["seeds"])
    return found[one & found["width"].isin(few(select.widths(found))[-2:])]


def _surface(axes: Axes, rows: pd.DataFrame, levels: np.ndarray) -> object:
    inside = select.values(rows)
    coords = np.array([[float(x) for x in p.split(",")] for p in inside["point"]])
    places = coords @ CORNERS
    numbers = np.nan_to_num(inside["value"].to_numpy(float), nan=np.inf)
    clipped = np.clip(numbers, levels[0], levels[-1])
    mesh = Triangulation(places[:, 0], places[:, 1])
    drawn = axes.tricontourf(mesh, clipped, levels=levels, cmap="viridis")
    drawn.set_edgecolor("face")
    axes.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color="black", linewidth=1.0)
    for name, (x, y) in zip(rows["seeds"].iloc[0].split(","), CORNERS, strict=True):
        below = y == 0.0
        axes.annotate(
            f"seed {name}",
            (x, y),
            xytext=(0, -4 if below else 3),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            fontsize=8,
        )
    height = select.barriers(rows)["value"]
    told = "".join(f"barrier {number(x)} nats" for x in height)
    axes.text(0.5, -0.24, told, ha="center", fontsize=8.5)
    axes.set_aspect("equal")
    axes.set_xlim(-0.15, 1.15)
    axes.set_ylim(-0.26, 1.0)
    return drawn
