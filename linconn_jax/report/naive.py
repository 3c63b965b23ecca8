"""Whether alignments lower barriers at all: what is said where one does not."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from linconn_jax.metrics import METRICS
from linconn_jax.report import ends, select
from linconn_jax.report.sentences import how_many, listed
from linconn_jax.report.style import number, short

Named = Sequence[tuple[str, pd.DataFrame]]
"""What a line is called, such as "Pairs, weight matching", and its rows."""


def not_below(lines: Named, naive: pd.DataFrame, column: str = "width") -> list[str]:
    """A sentence for each line that is somewhere not below the naive one; none of others.

    Means over the same segments or simplices are compared, loss and error each, at the
    levels of a column at which no end is near chance. Where both barriers are 0 there is
    nothing to lower.

    Args:
      lines: training barriers of one method and one kind of simplex each.
      naive: those of the same networks where nothing is moved; kinds may be mixed.
      column: barriers are compared at each of its values.
    """
    said = []
    for what, rows in lines:
        parts, same = [], ""
        for metric in METRICS:
            both = _both(rows, naive, metric, column)
            if found := [*_not_below(both, column)]:
                parts.append(f"{metric} barrier at {column} {listed(found)}")
                same = same or how_many(both, column)
        if parts:
            said.append(
                f"{what}: aligning does not lower the mean training "
                f"{' nor the '.join(parts)} (means over the same {same})."
            )
    return said


def _both(
    rows: pd.DataFrame, naive: pd.DataFrame, metric: str, column: str
) -> pd.DataFrame:
    """The barriers that are compared, each beside the naive one."""
    return beside(
        select.where(ends.judged(rows, column), metric=metric),
        select.where(ends.judged(naive, column), metric=metric),
        column,
    )


def _not_below(both: pd.DataFrame, column: str) -> Iterator[str]:
    """The levels at which the mean is not lower, with both means."""
    for level, part in both.groupby(column, sort=True):
        own, plain = (_mean(part[x]) for x in ("value", "value_beside"))
        if own >= plain and own > 0:
            yield f"{short(level)} ({number(own)}, naive {number(plain)})"


def beside(
    rows: pd.DataFrame, others: pd.DataFrame, column: str = "width"
) -> pd.DataFrame:
    """Barriers, and in `value_beside` those of the same networks in `others`.

    Networks are the same in any order; where `others` has several rows of the same ones
    it is their mean.
    """
    rows, others = (
        x.assign(networks=[tuple(sorted(seeds)) for seeds in x["seeds"]])
        for x in (rows, others)
    )
    same = [column, "networks"]
    plain = others.groupby(same, as_index=False)["value"].agg(_mean)
    return rows.merge(plain, on=same, suffixes=("", "_beside"))


def _mean(values: pd.Series) -> float:
    """The mean; infinite where a value is not finite, which is above all that are."""
    values = values.to_numpy(float)
    return float(values.mean()) if np.isfinite(values).all() else np.inf
