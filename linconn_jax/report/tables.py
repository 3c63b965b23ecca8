"""Tables of the numbers behind the figures, as plain text and as HTML."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from linconn_jax.report import select, style
from linconn_jax.report.markup import tag
from linconn_jax.report.select import Selection
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
        """The same as an HTML table, which scrolls on the page if the window is narrow."""
        head, *body = (
            f"<tr>{''.join(tag(kind, str(cell)) for cell in cells)}</tr>"
            for kind, cells in [("th", self.headers), *(("td", x) for x in self.rows)]
        )
        table = f"<thead>{head}</thead><tbody>{''.join(body)}</tbody>"
        caption = tag("caption", self.caption)
        return f'<div class="wide"><table>{caption}{table}</table></div>'


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
    several = ((selection.rows, False), (selection.left_out, True))
    found = pd.concat([select.barriers(x).assign(left=left) for x, left in several])
    lines = []
    for level, method, part in select.groups(found, column):
        names = (short(level), style.look(method).label)
        for kind, rows in (kinds(part) if kinds else {"": part}).items():
            own, left = rows[~rows["left"]], rows[rows["left"]]
            of = [x.groupby(["seeds", "reference"], dropna=False) for x in (own, left)]
            cells = (spread(select.where(own, metric=m, split=s)) for m, s in CASES)
            kind = [kind] if kinds else []
            lines.append((*names, *kind, *(str(len(x)) for x in of), *cells))
    counted = ("networks", "count") if kinds else (what,)
    headers = (column, "method", *counted, "left out", *(f"{s} {m}" for m, s in CASES))
    caption = (
        "Barriers over the interpolated baseline at the end of training (loss in nats): "
        f"mean over {what}{RANGES}"
    )
    return [Table(caption, headers, lines)] if lines else []


def _brief(cell: Spread | str) -> str:
    return number(cell.mean) if isinstance(cell, Spread) else str(cell)
