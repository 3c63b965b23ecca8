"""How figures look: one colour for a method everywhere, told apart by marker too."""

import base64
import dataclasses
import html
import io
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure

from linconn_jax import align
from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.files import write_atomically

DPI = 150
PIXELS_PER_INCH = (80, 107)
"""Of a figure on the page, at least and at most, so that its text can be read."""


class Look(NamedTuple):
    """Colour, marker and name of a method."""

    colour: str
    marker: str
    label: str


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure, the name of its files, and what is said under it."""

    name: str
    figure: Figure
    caption: str

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(
                f"a figure is named {self.name!r}; its files are named alike, so it must "
                "be a Python identifier such as 'weak_width'"
            )

    def html(self, png: bytes) -> str:
        """It in HTML, with links to its files; it scrolls where the window is narrow."""
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        least, most = (x * self.figure.get_figwidth() for x in PIXELS_PER_INCH)
        size = f"min-width:{least:.0f}px; width:min(100%, {most:.0f}px)"
        image = f'<img alt="{self.name}" src="{source}" style="{size}">'
        links = [f'<a href="{self.name}.{x}">{x.upper()}</a>' for x in ("png", "pdf")]
        caption = f"{html.escape(self.caption)} {' '.join(links)}"
        return (
            f'<figure><a class="wide" href="{self.name}.png">{image}</a>'
            f"<figcaption>{caption}</figcaption></figure>"
        )


# From Okabe and Ito's palette, which colour-blind readers can tell apart.
_SPARE = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")
NOT_FINITE = "not finite"
SPLITS = {"train": "training data", "test": "test data"}
UNITS = {"loss": "loss (nats)", "error": "error (fraction)"}


def look(method: str | tuple[str, ...]) -> Look:
    """How a method is drawn, as it is registered; a spare colour by its name if not."""
    name = short(method)
    spare = _SPARE[sum(name.encode()) % len(_SPARE)]
    known = align.methods().get(name)
    if known is None:
        return Look(spare, "D", name.replace("_", " "))
    return Look(known.colour or spare, known.marker, known.label)


def context() -> AbstractContextManager:
    """Figures drawn inside look like this project's."""
    return matplotlib.style.context(Path(__file__).with_name("figures.mplstyle"))


def figure(
    width: float | int, height: float | int, rows: int, columns: int, **kwargs: object
) -> tuple[Figure, np.ndarray]:
    """A figure of so many inches and its array of axes `[rows, columns]`."""
    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(rows, columns, squeeze=False, **kwargs)


def legend_above(made: Figure, columns: int | None = None) -> None:
    """One legend of all lines of a figure, in so many columns, above its axes."""
    found: dict[str, object] = {}
    for axes in made.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    options = {"loc": "outside upper left", "ncols": columns or len(found)}
    made.legend(found.values(), found.keys(), **options)


def write(made: Figure, folder: Path, name: str) -> bytes:
    """Writes `name.png` and `name.pdf` and returns the PNG."""
    png, pdf = io.BytesIO(), io.BytesIO()
    if made.get_layout_engine() is not None:
        made.get_layout_engine().execute(made)
        made.set_layout_engine("none")  # keeps the layout that was just found
    made.savefig(png, format="png", dpi=DPI)
    made.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    write_atomically(folder / f"{name}.png", png.getvalue())
    write_atomically(folder / f"{name}.pdf", pdf.getvalue())
    return png.getvalue()


def sequential(count: int) -> list[tuple[float, float, float, float]]:
    """So many colours in order, from early or narrow (pale) to late or wide (dark)."""
    colours = matplotlib.colormaps["plasma_r"](np.linspace(0.1, 1.0, count))
    return [*map(tuple, colours.tolist())]


def level_bar(
    made: Figure, axes: Axes, levels: Sequence[float | int], label: str
) -> None:
    """A scale beside axes that names the `sequential` colours of ascending levels."""
    colours = ListedColormap(sequential(len(levels)))
    shades = ScalarMappable(Normalize(-0.5, len(levels) - 0.5), colours)
    named = range(0, len(levels), -(-len(levels) // 16))  # as many as can be read
    bar = made.colorbar(shades, ax=axes, label=label)
    bar.set_ticks([*named], labels=[f"{levels[i]:.3g}" for i in named])
    bar.minorticks_off()
    bar.ax.invert_yaxis()  # the first on top, as its line mostly is


def lighter(colour: str, amount: float) -> tuple[float, ...]:
    """A colour moved towards white by `amount` in 0..1."""
    return tuple(c + (1.0 - c) * amount for c in to_rgb(colour))


def number(value: float) -> str:
    """Three decimals, or more where they would hide a small number."""
    if not math.isfinite(value):
        return NOT_FINITE
    if abs(value) < 5e-7:
        return "0"
    return f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.1e}"


def short(level: object) -> str:
    """A value of a column as a word."""
    if isinstance(level, tuple):
        return ", ".join(map(short, level))
    return level if isinstance(level, str) else f"{level:.12g}"


def level_axis(
    axes: Axes, levels: Sequence[float | int], column: str = "width"
) -> None:
    """Log2 axis, or linear where a level is not positive, with a tick at each."""
    low, high = min(levels), max(levels)
    if low > 0:
        axes.set_xscale("log", base=2)
        axes.set_xlim(low / 2**0.3, high * 2**0.3)
    axes.set_xticks(levels, [short(level) for level in levels])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("width (units)" if column == "width" else column.replace("_", " "))


def epoch_axis(axes: Axes, epochs: pd.Series) -> None:
    """Logarithmic above epoch 1 and linear below, with ticks at the recorded epochs."""
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.6)
    shown = _apart(sorted(set(epochs)))
    axes.set_xticks(shown, [f"{e:.3g}" for e in shown])
    axes.set_xticks([], minor=True)
    axes.set_xlim(min(epochs) - (0.15 if min(epochs) < 1 else 0), max(epochs) * 1.1)


def sparsity_axis(axes: Axes, sparsities: pd.Series) -> None:
    """The share of weights removed, 0 to 1, logarithmic in what is left."""
    scales = (lambda x: -np.log1p(-np.minimum(x, 1 - 1e-9)), lambda y: -np.expm1(-y))
    axes.set_xscale("function", functions=scales)
    found = sorted(set(sparsities))
    shown = found[:: -(-len(found) // 7)]
    axes.set_xticks(shown, [f"{100 * x:.3g}" for x in shown])
    axes.set_xticks([], minor=True)
    low, high = (scales[0](x) for x in (found[0], found[-1]))
    margin = 0.03 * max(high - low, 0.1)
    axes.set_xlim(*(scales[1](x) for x in (low - margin, high + margin)))
    axes.set_xlabel("sparsity (% of weights removed)")


def barrier_axis(axes: Axes, metric: str, largest: float) -> None:
    """Linear up to the threshold of connectivity, which is one of errors; then log."""
    axes.set_yscale("symlog", linthresh=LMC_THRESHOLD, linscale=0.5)
    ticks = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    top = max(1.3 * largest if np.isfinite(largest) else 0.0, 0.06)
    shown = [t for t in ticks if t <= top]
    axes.set_yticks(shown, [f"{t:g}" for t in shown])
    axes.set_yticks([], minor=True)
    axes.set_ylim(-0.004, top)
    if metric == "error":
        dotted = {"color": "#444444", "linestyle": ":", "linewidth": 1.2, "zorder": 1}
        axes.axhline(LMC_THRESHOLD, **dotted)
    axes.set_ylabel(f"{metric} barrier" + (" (nats)" if metric == "loss" else ""))


def _apart(epochs: Sequence[float]) -> list[float]:
    """Epochs whose tick labels do not run into each other."""
    kept: list[float] = []
    for epoch in reversed(epochs):
        if not kept or np.log2((kept[-1] + 1) / (epoch + 1)) > 0.57:
            kept.append(epoch)
    return kept[::-1]
