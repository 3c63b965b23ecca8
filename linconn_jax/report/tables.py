"""Tables of the numbers behind the figures, as plain text and as HTML."""

import dataclasses
import html
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from linconn_jax.report import select, style
from linconn_jax.report.figures.strong import others, strong_methods
from linconn_jax.report.selection import Selection
from linconn_jax.report.style import NOT_FINITE, number

CASES = (("loss", "train"), ("error", "train"), ("loss", "test"), ("error", "test"))
NOTHING = "–"
RANGES = " (min..max)"
"""How a caption that ends in it tells of ranges in the cells."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """A mean and the range of what it is a mean of."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if self.count == 1:
            return number(self.mean)
        return f"{number(self.mean)} ({number(self.low)}..{number(self.high)})"


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text under headers; `caption` says what the numbers are."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple["str | Spread", ...], ...]

    def text(self) -> str:
        """Aligned columns for a terminal, which is narrow: means without ranges."""
        lines = [self.headers, *([_brief(cell) for cell in row] for row in self.rows)]
        sizes = [max(len(line[i]) for line in lines) for i in range(len(self.headers))]
        padded = [
            "  ".join(cell.ljust(size) for cell, size in zip(line, sizes, strict=True))
            for line in lines
        ]
        rule = "  ".join("-" * size for size in sizes)
        caption = self.caption.removesuffix(RANGES)
        return "\n".join([caption, padded[0], rule, *padded[1:]])

    def html(self) -> str:
        """The same as an HTML table."""

        def line(cells: Sequence["str | Spread"], tag: str) -> str:
            inner = "".join(
                f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells
            )
            return f"<tr>{inner}</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        head = f"<thead>{line(self.headers, 'th')}</thead>"
        caption = f"<caption>{html.escape(self.caption)}</caption>"
        return f"<table>{caption}{head}<tbody>{body}</tbody></table>"


def trajectory(selection: Selection) -> Table | None:
    """Loss and error of the networks at the end of training, by width."""
    rows = select.training(selection.rows)
    everything = pd.concat([rows, select.training(selection.left_out)])
    if everything.empty:
        return None
    lines = []
    for width in select.widths(everything):
        own = rows[(rows["width"] == width) & rows["last"]]
        of = everything[everything["width"] == width]
        stopped = selection.diverged.get(width, ())
        lines.append(
            (
                str(width),
                str(of["seeds"].nunique()),
                f"{of['epoch'].max():.3g}",
                f"{of['step'].max():.0f}",
                spread(own[own["metric"] == "loss"]),
                spread(own[own["metric"] == "error"]),
                ", ".join(map(str, stopped)) or "none",
            )
        )
    headers = ("width", "seeds", "epochs", "steps", "loss", "error", "diverged seeds")
    caption = (
        "Training loss (nats) and error, averaged over the batches since the last "
        "checkpoint but one, means over seeds"
    )
    return Table(caption, headers, tuple(lines))


def weak(selection: Selection) -> Table | None:
    """Barriers of pairs at the end of training, by width and method."""
    rows = select.barriers(select.weak(selection.rows))
    left = select.barriers(select.weak(selection.left_out))
    if rows.empty and left.empty:
        return None
    everything = pd.concat([rows, left])
    lines = []
    for width in select.widths(everything):
        for method in select.methods(everything):
            pick = _picker(width, method)
            lines += _line((width, style.look(method).label), pick(rows), pick(left))
    headers = ("width", "method", "pairs", "left out", *_case_names())
    return Table(_caption("pairs"), headers, tuple(lines))


def strong(selection: Selection) -> Table | None:
    """Barriers of pairs and simplices at the end of training."""
    rows = select.barriers(selection.rows)
    left = select.barriers(selection.left_out)
    everything = pd.concat([rows, left])
    methods = strong_methods(everything)
    if not methods:
        return None
    lines = []
    for width in select.widths(everything):
        for method in ("naive", *methods):
            pick = _picker(width, method)
            mine, out = pick(rows), pick(left)
            parts = {"pair": select.weak} | {
                label: _shape(label) for label in others(pick(everything))
            }
            for label, part in parts.items():
                names = (width, style.look(method).label, label)
                lines += _line(names, part(mine), part(out))
    headers = ("width", "method", "networks", "count", "left out", *_case_names())
    return Table(_caption("pairs or simplices"), headers, tuple(lines))


def simultaneous(selection: Selection) -> Table | None:
    """Barriers along training of the permutation found at each epoch."""
    rows = select.barriers(select.simultaneous(selection.rows))
    if rows.empty:
        return None
    rows = rows[rows["split"] == "train"]
    lines = []
    for width in select.widths(rows):
        part = rows[rows["width"] == width]
        agreed = select.agreement(selection.rows)
        agreed = agreed[(agreed["width"] == width) & (agreed["axis"] == "all")]
        for epoch in [None, *sorted(part["fit_epoch"].dropna().unique())]:
            same = (
                part["fit_epoch"].isna()
                if epoch is None
                else part["fit_epoch"] == epoch
            )
            fraction = agreed[agreed["fit_epoch"] == epoch]
            lines.append(_sequence_line(width, epoch, part[same], fraction))
    headers = (
        "width",
        "P found at epoch",
        "pairs",
        "loss: largest",
        "at epoch",
        "loss at the end",
        "error: largest",
        "error at the end",
        "agreement with P_T",
    )
    caption = (
        "Training barriers (interpolated baseline) of one permutation applied at every "
        "recorded epoch: means over pairs"
    )
    return Table(caption, headers, tuple(lines))


def _sequence_line(
    width: int, epoch: float | None, rows: pd.DataFrame, agreed: pd.DataFrame
) -> tuple[str | Spread, ...]:
    loss, error = (rows[rows["metric"] == m] for m in ("loss", "error"))
    return (
        str(width),
        "naive" if epoch is None else f"{epoch:.3g}",
        str(rows["seeds"].nunique()),
        *_largest(loss),
        spread(loss[loss["last"]]),
        _largest(error)[0],
        spread(error[error["last"]]),
        spread(agreed),
    )


def _largest(rows: pd.DataFrame) -> tuple[str, str]:
    """The largest mean over epochs, and its epoch."""
    means = select.mean(rows, ["epoch"]).sort_values("epoch")
    if means.empty:
        return NOTHING, NOTHING
    finite = np.isfinite(means["mean"])
    top = means.loc[means["mean"].idxmax() if finite.all() else finite.idxmin()]
    return number(top["mean"]), f"{top['epoch']:.3g}"


TABLES: dict[str, Callable[[Selection], Table | None]] = {
    "trajectory": trajectory,
    "weak": weak,
    "simultaneous": simultaneous,
    "strong": strong,
}


def spread(rows: pd.DataFrame) -> Spread | str:
    """Mean and range of values; one that is not finite is told, not skipped."""
    if rows.empty:
        return NOTHING
    values = rows["value"].to_numpy(float)
    if not np.isfinite(values).all():
        return NOT_FINITE
    return Spread(values.mean(), values.min(), values.max(), len(values))


def _brief(cell: Spread | str) -> str:
    return number(cell.mean) if isinstance(cell, Spread) else cell


def _picker(width: int, method: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows[(rows["width"] == width) & (rows["method"] == method)]


def _shape(label: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: others(rows).get(label, rows.iloc[:0])


def _line(
    names: tuple, rows: pd.DataFrame, left: pd.DataFrame
) -> list[tuple[str | Spread, ...]]:
    """One line of a table of barriers, or none where nothing was computed."""
    if rows.empty and left.empty:
        return []
    counts = (str(len(part.groupby(["seeds", "reference"]))) for part in (rows, left))
    cells = (
        spread(rows[(rows["metric"] == metric) & (rows["split"] == split)])
        for metric, split in CASES
    )
    return [(*map(str, names), *counts, *cells)]


def _case_names() -> tuple[str, ...]:
    return tuple(f"{split} {metric}" for metric, split in CASES)


def _caption(what: str) -> str:
    return (
        f"Barriers over the interpolated baseline at the end of training (loss in nats): "
        f"mean over {what}{RANGES}"
    )
