"""Whose fault the barriers of simplices are: the matcher's, or the networks'.

A simplex whose networks are aligned to one of them by a method of two networks is aligned
through a reference. What a method that takes all networks at once makes of the same
simplex tells how much of its barrier was the matcher's fault.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from linconn_jax import align
from linconn_jax.metrics import METRICS
from linconn_jax.report import Table, ends, select, style
from linconn_jax.report.naive import beside
from linconn_jax.report.sentences import how_many, listed
from linconn_jax.report.style import number, short
from linconn_jax.report.tables import RANGES, Spread, spread

REFERENCE, AT_ONCE = "direct", "joint"
"""The path of simplices whose networks are aligned to one of them, and all at once."""


def matcher(rows: pd.DataFrame, everything: pd.DataFrame) -> list[str | Table]:
    """How much of the barriers through a reference was the matcher's fault.

    Args:
      rows: training barriers.
      everything: those that are left out, too.
    """
    asked = everything[everything["k"] > 2]
    through, joint = (methods_by(asked, path) for path in (REFERENCE, AT_ONCE))
    if asked.empty or not (through or joint):
        return []
    unknown = (
        "How much of a simplex's barrier through a reference is the matcher's fault"
    )
    if not joint:
        known = [name for name, x in align.methods().items() if x.joint and x.aligns]
        return [
            f"{unknown} is not known: no method that aligns all networks at once was "
            f"asked for (strong.methods; {', '.join(known)} are such)."
        ]
    if not through:
        return [
            f"{unknown} is not known: no method of two networks was asked for "
            "(strong.methods), so that no simplex is aligned through a reference."
        ]
    cells, sentences = [], []
    for k, part in simplices(rows):
        compared = [*_compared(part)]
        cells += [(str(k), *cell) for line in compared for cell in line.cells()]
        sentences += [_fault(k, compared)] if compared else []
    return [Table(_CAPTION, _HEADERS, cells), *sentences] if cells else []


_CAPTION = (
    "The matcher's share of training barriers of simplices through a reference: what is "
    "taken away where the same networks are aligned all at once, as a part of it; by the "
    "method of each sort with the lowest mean of that barrier at the width; mean over "
    "simplices with a barrier (the same networks aligned to another of them are another "
    f"simplex){RANGES}"
)
_HEADERS = (
    *("networks", "width", "barrier", "mean of", "through a reference by"),
    *("all at once by", "through a reference", "all at once", "share"),
)


class _Compared:
    """Simplices of k networks at one width, through a reference and all at once.

    Attributes:
      width: of the networks.
      both: for each metric their barriers by the methods that are best in it, `value`
        through a reference and `value_beside` of all at once.
      methods: the labels of the two, for each metric.
    """

    def __init__(self, width: object, through: pd.DataFrame, joint: pd.DataFrame):
        self.width = short(width)
        best = {x: [_best(rows, x) for rows in (through, joint)] for x in METRICS}
        self.both = {metric: beside(*two) for metric, two in best.items()}
        self.methods = {
            metric: [style.look(rows["method"].iloc[0]).label for rows in two]
            for metric, two in best.items()
        }

    def share(self, metric: str) -> Spread | str:
        """Of the barrier through a reference; nothing where there is no barrier."""
        both = self.both[metric]
        both = both[both["value"] > 0]
        share = 1 - both["value_beside"] / both["value"]
        return spread(both.assign(share=share), "share")

    def means(self, metric: str) -> tuple[float, float]:
        """Of the barriers through a reference, and of all at once."""
        both = self.both[metric]
        return float(both["value"].mean()), float(both["value_beside"].mean())

    def no_better(self, metric: str) -> str:
        """The width with both means, where all at once takes nothing away."""
        share, (through, joint) = self.share(metric), self.means(metric)
        if isinstance(share, Spread):
            is_better = share.mean > 0
        else:  # no barrier through a reference, or a number that is not finite
            is_better = joint == 0 or not np.isfinite(through)
        both = f"{number(joint)} at once, {number(through)} through one"
        return "" if is_better else f"{self.width} ({both})"

    def cells(self) -> Iterator[tuple[str | Spread, ...]]:
        """Of its lines in the table, one for each metric."""
        for metric, both in self.both.items():
            names = (self.width, metric, how_many(both), *self.methods[metric])
            yield *names, *map(number, self.means(metric)), self.share(metric)


def _compared(rows: pd.DataFrame) -> Iterator[_Compared]:
    """At every width at which there is something to compare."""
    through, joint = (
        ends.judged(rows[rows["method"].isin(methods_by(rows, path))])
        for path in (REFERENCE, AT_ONCE)
    )
    for width in select.levels(through):
        two = [select.where(x, width=width) for x in (through, joint)]
        if not any(x.empty for x in two):
            line = _Compared(width, *two)
            if len(line.both["loss"]):
                yield line


def _fault(k: int, compared: Sequence[_Compared]) -> str:
    """In words how large the shares are, and where all at once is no better."""
    less, none = [], []
    for metric in METRICS:
        shares = [(line.share(metric), line.width) for line in compared]
        known = [(x.mean, width) for x, width in shares if isinstance(x, Spread)]
        if known := [x for x in known if x[0] > 0]:
            less.append(f"{_range(known)} of the {metric}")
        worse = [line.no_better(metric) for line in compared]
        if worse := [x for x in worse if x]:
            none.append(f"of the {metric} at width {listed(worse)}")
    told = f"Simplices of {k} networks: of the training barrier through a reference"
    taken = f"{told}, aligning all at once takes away"
    if less:
        taken += (
            f" {' and '.join(less)} (means over simplices), and at least so much was the "
            "matcher's fault"
        )
    if none:
        taken += f"{'; but' if less else ''} nothing {' nor '.join(none)}"
    return f"{taken if less or none else f'{told} nothing is left to take away'}."


def _range(known: Sequence[tuple[float, str]]) -> str:
    """`12 % (width 16)`, or from the least to the most."""
    (low, first), (high, last) = min(known), max(known)
    if f"{low:.0%}" == f"{high:.0%}":
        return f"{low:.0%} (width {listed([width for _, width in known])})"
    return f"from {low:.0%} (width {first}) to {high:.0%} (width {last})"


def _best(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The barriers of the method with the lowest mean."""
    rows = select.where(rows, metric=metric)
    means = select.mean(rows, ["method"]).set_index("method")["mean"]
    value = means.fillna(float("inf"))
    return select.where(rows, method=min(select.methods(rows), key=value.get))


def methods_by(rows: pd.DataFrame, path: str) -> list[str]:
    """The aligning methods whose simplices are aligned that way."""
    return select.methods(select.where(rows, path=path), aligning=True)


def simplices(rows: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """The rows of simplices, by their number of networks."""
    for k in select.levels(rows, "k"):
        if k > 2:
            yield int(k), select.where(rows, k=k)
