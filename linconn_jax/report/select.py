"""Parts of rows, and means over them. The x-axis of a figure may be any column."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from linconn_jax import align


def where(rows: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The rows that have these values in these columns."""
    wanted = pd.Series(True, rows.index)
    for name, value in columns.items():
        wanted &= rows[name] == value
    return rows[wanted]


def barriers(
    rows: pd.DataFrame, baseline: str = "interpolated", **columns: Any
) -> pd.DataFrame:
    """The barriers over one baseline, such as `barriers(rows, split="train")`."""
    return where(rows, quantity="barrier", baseline=baseline, **columns)


def mean(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean, min, max and count of `value` over the rows of each group.

    A group that holds a number that is NaN has no mean: it is not skipped over.
    """
    groups = rows.groupby(list(by), dropna=False)["value"]
    found = groups.agg(["mean", "min", "max", "count", "size"]).reset_index()
    whole = found["count"] == found["size"]
    for name in ("mean", "min", "max"):
        found[name] = found[name].where(whole)
    return found.drop(columns="count").rename(columns={"size": "count"})


def points(rows: pd.DataFrame) -> str:
    """`67 points each, 37 of them inside`, of pairs or of simplices of one size."""
    said = []
    for column, words in (("points", "points each"), ("inside", "of them inside")):
        counts = ", ".join(f"{n:.0f}" for n in levels(rows, column))
        said += [f"{counts} {words}"] if counts else []
    return ", ".join(said)


def levels(rows: pd.DataFrame, column: str = "width") -> list[Any]:
    """The different values of a column, in ascending order."""
    found = rows[column].dropna().drop_duplicates().tolist()
    return sorted(found, key=lambda level: (isinstance(level, tuple), level))


def few(found: Sequence[Any]) -> list[Any]:
    """The first, the middle and the last of ascending values."""
    return sorted({found[0], found[len(found) // 2], found[-1]})


def methods(rows: pd.DataFrame, *, aligning: bool = False) -> list[str]:
    """The methods, in the order in which they are registered.

    Args:
      rows: any.
      aligning: without those that are not meant to lower barriers, as naive.
    """
    known, found = align.methods(), list(rows["method"].dropna().unique())
    ordered = [m for m in known if m in found]
    ordered += sorted((m for m in found if m not in known), key=str)
    return [m for m in ordered if not aligning or m not in known or known[m].aligns]
