"""Figures of triangles: the loss everywhere between three networks."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation

from linconn_jax.report import select, style
from linconn_jax.report.style import number

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])


def triangles(rows: pd.DataFrame, *, called: str = "seed") -> Figure:
    """Training loss over the triangle of three networks, by width and method.

    Aligned networks have a scale of their own: naive ones are far higher.

    Args:
      rows: of the same three networks at each width; at least one value.
      called: the word for a network, before its number.
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
                    drawn = _surface(axes[i, j], part, levels, colours, called)
                    of = f"width {width}, " if len(widths) > 1 else ""
                    axes[i, j].set_title(of + style.look(methods[j]).label)
        if several:
            label = f"training loss (nats), {name}"
            options = {"shrink": 0.8, "ticks": MaxNLocator(6)}
            figure.colorbar(drawn, ax=axes[:, columns], label=label, **options)
    return figure


def _surface(
    axes: Axes, rows: pd.DataFrame, levels: np.ndarray, colours: str, called: str
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
            f"{called} {seed}",
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
