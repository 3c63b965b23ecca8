"""From prepared rows to the rows of one claim, and their means.

Rows do not say which experiment asked for them: one pair aligned at the end of training
serves the weak, the simultaneous and the strong claim. What serves which is decided here.
"""

from collections.abc import Sequence

import pandas as pd


def barriers(rows: pd.DataFrame, baseline: str = "interpolated") -> pd.DataFrame:
    """The barrier rows over one baseline."""
    return rows[(rows["quantity"] == "barrier") & (rows["baseline"] == baseline)]


def values(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of losses and errors at points."""
    return rows[rows["quantity"] == "value"]


def weak(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs at the end of training, as they are or aligned to each other there."""
    here = rows["fit_step"].isna() | (rows["fit_step"] == rows["step"])
    return rows[_direct(rows) & rows["last"] & here]


def through(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs at the end of training, both ends aligned to a third network."""
    return rows[(rows["k"] == 2) & (rows["path"] == "through") & rows["last"]]


def simplices(rows: pd.DataFrame, k: int | None = None) -> pd.DataFrame:
    """Simplices of k networks, or of three and more, at the end of training."""
    wanted = rows["k"] >= 3 if k is None else rows["k"] == k
    return rows[wanted & rows["last"] & ~rows["again"]]


def simultaneous(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs that were looked at all along training, by one method and naively."""
    direct = rows[_direct(rows)]
    moved = direct[direct["fit_step"].notna() & (direct["fit_step"] != direct["step"])]
    if moved.empty:
        return moved
    keys = ["width", "seeds"]
    pairs = pd.MultiIndex.from_frame(moved[keys].drop_duplicates())
    among = pd.MultiIndex.from_frame(direct[keys]).isin(pairs)
    methods = ("naive", *moved["method"].unique())
    return direct[among & direct["method"].isin(methods)]


def agreement(rows: pd.DataFrame) -> pd.DataFrame:
    """Agreements of a permutation found at `fit_step` with the one found at the end."""
    return rows[(rows["quantity"] == "agreement") & rows["last"]]


def training(rows: pd.DataFrame) -> pd.DataFrame:
    """Losses and errors in training."""
    return rows[rows["quantity"] == "training"]


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


def widths(rows: pd.DataFrame) -> list[int]:
    """The widths in ascending order."""
    return sorted(int(w) for w in rows["width"].dropna().unique())


def methods(rows: pd.DataFrame) -> list[str]:
    """The methods, in the order in which they are always shown."""
    order = ("naive", "random", "weight_matching", "activation_matching")
    found = list(rows["method"].dropna().unique())
    return [m for m in order if m in found] + sorted(set(found) - set(order))


def _direct(rows: pd.DataFrame) -> pd.Series:
    return (rows["k"] == 2) & (rows["path"] == "direct")
