"""Tables of the numbers behind the figures, as plain text and as HTML."""

import dataclasses
import html
import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

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
    what: str,
    headers: Sequence[str],
    cases: Iterable[tuple[Sequence[str], pd.DataFrame, pd.DataFrame]],
) -> list[Table]:
    """A table of barriers at the end of training, or none where there are none.

    Args:
      what: means are taken over them, such as "pairs".
      headers: of the columns that name a case, and of the count.
      cases: for each line its names, its barriers, and those left out of the mean.
    """
    lines = [_line(*case) for case in cases if len(case[1]) + len(case[2])]
    names = (f"{split} {metric}" for metric, split in CASES)
    caption = (
        "Barriers over the interpolated baseline at the end of training (loss in nats): "
        f"mean over {what}{RANGES}"
    )
    return [Table(caption, (*headers, "left out", *names), lines)] if lines else []


def _line(
    names: Sequence[str], rows: pd.DataFrame, left: pd.DataFrame
) -> tuple[str | Spread, ...]:
    by = ["seeds", "reference"]
    counts = (str(len(part.groupby(by, dropna=False))) for part in (rows, left))
    cells = (
        spread(rows[(rows["metric"] == metric) & (rows["split"] == split)])
        for metric, split in CASES
    )
    return (*names, *counts, *cells)


def _brief(cell: Spread | str) -> str:
    return number(cell.mean) if isinstance(cell, Spread) else str(cell)
