"""Tables of the numbers behind the figures, as plain text and as HTML."""

import dataclasses
import html
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from linconn_jax.files import digest
from linconn_jax.metrics import METRICS
from linconn_jax.report import ends, select, style
from linconn_jax.report.select import Selection
from linconn_jax.report.style import NOT_FINITE, number, short

CASES = (("loss", "train"), ("error", "train"), ("loss", "test"), ("error", "test"))
NOTHING = "–"
AT_ENDS = "at ends"
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
    rows: Sequence[Sequence[str | Spread]]

    def text(self) -> str:
        """Aligned columns for a terminal, which is narrow: means without ranges."""
        brief = [
            [number(x.mean) if isinstance(x, Spread) else str(x) for x in row]
            for row in self.rows
        ]
        sizes = [max(map(len, x)) for x in zip(self.headers, *brief, strict=True)]
        lines = [
            "  ".join(cell.ljust(size) for cell, size in zip(line, sizes, strict=True))
            for line in (self.headers, ["-" * size for size in sizes], *brief)
        ]
        return "\n".join([self.caption.removesuffix(RANGES), *lines])

    def html(self) -> str:
        """The same as an HTML table that scrolls where the window is narrow."""
        head, *body = (
            f"<tr>{''.join(tag(kind, str(cell)) for cell in cells)}</tr>"
            for kind, cells in [("th", self.headers), *(("td", x) for x in self.rows)]
        )
        lines = f"<thead>{head}</thead><tbody>{''.join(body)}</tbody>"
        caption = tag("caption", self.caption)
        return f'<div class="wide"><table>{caption}{lines}</table></div>'


def tag(name: str, text: str) -> str:
    """Plain text in an HTML tag."""
    return f"<{name}>{html.escape(text)}</{name}>"


def spread(rows: pd.DataFrame, column: str = "value") -> Spread | str:
    """Mean and range of a column; a number that is not finite is told, not skipped."""
    if rows.empty:
        return NOTHING
    values = rows[column].to_numpy(float)
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
    found, lines = select.barriers(selection.everything), []
    for level, method, part in select.groups(found, column):
        names = (short(level), style.look(method).label)
        for kind, rows in (kinds(part) if kinds else {"": part}).items():
            if rows.empty:
                continue
            own, left = rows[~rows["is_left_out"]], rows[rows["is_left_out"]]
            of = [x.groupby(["seeds", "reference"], dropna=False) for x in (own, left)]
            each = [select.where(own, metric=m, split=s) for m, s in CASES]
            cells = [spread(x, name) for x in each for name in ("value", "ends")]
            kind = [kind] if kinds else []
            lines.append((*names, *kind, *(str(len(x)) for x in of), *cells))
    counted = ("networks", "count") if kinds else (what,)
    cases = [header for m, s in CASES for header in (f"{s} {m}", AT_ENDS)]
    headers = (column, "method", *counted, "left out", *cases)
    caption = (
        "Barriers over the interpolated baseline at the end of training (loss in nats), "
        f"beside each the networks' own ({AT_ENDS}): mean over {what}{RANGES}"
    )
    return [Table(caption, headers, lines)] if lines else []


def end_points(rows: pd.DataFrame) -> list[Table]:
    """How far a permuted network is from itself, by width and method; none of none.

    Every segment and simplex has its vertices among its points, so the loss and error of
    each permuted network were measured there; those of the unpermuted one at a vertex
    that was left as it was. Rows that are there twice count once.
    """
    found = ends.at_vertices(rows)
    listed = [digest({"vertices": several}) for several in found["vertices"]]
    found = found.assign(network=found["here"].map(digest), listed=listed)
    same = ["network", "split", "metric", "examples"]
    once = ["listed", "vertex", "points", "precision", *same]
    moved = found[found["is_moved"]].drop_duplicates(once)
    plain = found[~found["is_moved"]].drop_duplicates(same)
    both = moved.merge(plain, on=same, suffixes=("", "_plain"))
    both["difference"] = (both["value"] - both["value_plain"]).abs()
    lines = []
    for width, method, part in select.groups(both):
        largest = [select.where(part, metric=m)["difference"].max() for m in METRICS]
        cells = (str(len(part)), *(f"{x:.1g}" for x in largest))
        lines.append((short(width), style.look(method).label, *cells))
    caption = (
        "Largest absolute difference between a permuted network's own loss (nats) or "
        "error and the unpermuted one's, over all its end points, training and test data"
    )
    headers = ("width", "method", "numbers compared", *METRICS)
    return [Table(caption, headers, lines)] if lines else []
