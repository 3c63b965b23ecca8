"""Tables of the numbers behind the figures, as plain text and as HTML."""

import dataclasses
import html
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from linconn_jax.report import select, style
from linconn_jax.report.cleaning import Selection
from linconn_jax.report.style import NOT_FINITE, number, short

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
    """Rows of cells under headers; `caption` says what the numbers are."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence["str | Spread"]]

    def text(self) -> str:
        """Aligned columns for a terminal, which is narrow: means without ranges."""
        lines = [self.headers, *([_brief(cell) for cell in row] for row in self.rows)]
        sizes = [max(map(len, column)) for column in zip(*lines, strict=True)]
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


def spread(rows: pd.DataFrame) -> Spread | str:
    """Mean and range of values; one that is not finite is told, not skipped."""
    if rows.empty:
        return NOTHING
    values = rows["value"].to_numpy(float)
    if not np.isfinite(values).all():
        return NOT_FINITE
    mean = math.fsum(values) / len(values)  # the same in any order of the rows
    return Spread(mean, values.min(), values.max(), len(values))


def barriers(
    selection: Selection,
    what: str,
    *,
    column: str = "width",
    kinds: Callable[[pd.DataFrame], dict[str, pd.DataFrame]] | None = None,
) -> list[Table]:
    """A table of barriers by a column and method, or none where there are no barriers.

    Args:
      selection: of an experiment.
      what: means are taken over them, such as "pairs".
      column: a line for each of its values.
      kinds: splits rows into kinds that have lines of their own, by name.
    """
    found, left = (select.barriers(x) for x in (selection.rows, selection.left_out))
    everything, lines = pd.concat([found, left]), []
    for level in select.levels(everything, column):
        for method in select.methods(everything):
            pick = {column: level, "method": method}
            own, out = (select.where(x, **pick) for x in (found, left))
            names = (short(level), style.look(method).label)
            if kinds is None:
                lines += _line(names, own, out)
                continue
            own_kinds, out_kinds, none = kinds(own), kinds(out), own[:0]
            for kind in kinds(pd.concat([own, out])):
                parts = (x.get(kind, none) for x in (own_kinds, out_kinds))
                lines += _line((*names, kind), *parts)
    counted = (what, "left out") if kinds is None else ("networks", "count", "left out")
    headers = (column, "method", *counted, *(f"{split} {m}" for m, split in CASES))
    sizes = everything[everything["k"] > 2].groupby("k")
    looked = [f"; simplex of {k:.0f}: {select.points(part)}" for k, part in sizes]
    caption = (
        "Barriers over the interpolated baseline at the end of training (loss in nats"
        f"{''.join(looked)}): mean over {what}{RANGES}"
    )
    return [Table(caption, headers, lines)] if lines else []


def _line(
    names: Sequence[str], rows: pd.DataFrame, left: pd.DataFrame
) -> list[tuple[str | Spread, ...]]:
    """One line, or none where nothing was computed."""
    by = ["seeds", "reference"]
    counts = (str(len(part.groupby(by, dropna=False))) for part in (rows, left))
    cells = (spread(select.where(rows, metric=m, split=split)) for m, split in CASES)
    return [(*names, *counts, *cells)] if len(rows) + len(left) else []


def _brief(cell: Spread | str) -> str:
    return number(cell.mean) if isinstance(cell, Spread) else str(cell)
