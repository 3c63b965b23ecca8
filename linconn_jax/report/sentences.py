"""What is said of rows in words, made from the numbers; shared by experiments."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import ends, select, style
from linconn_jax.report.select import Selection
from linconn_jax.report.style import Drawing, number, short
from linconn_jax.report.tables import NOTHING, Table

DOTS = (
    "Lines are means, dots single {what}. The axis is linear up to 0.02 and logarithmic "
    "above; dotted: error barrier 0.02, at or below which two networks count as "
    "linearly mode connected if both are clearly below chance."
)


def drawings(
    name: str, draw: Callable[[pd.DataFrame], Figure], rows: pd.DataFrame, caption: str
) -> list[Drawing]:
    """A figure of rows whose caption ends in `facts` of them; none of no rows.

    A caption may say what is aligned to what: of joint methods the truth is added.
    """
    if rows.empty:
        return []
    whole = " ".join([caption, *_joint(rows), facts(rows)])
    return [Drawing(name, draw(rows), whole)]


def _joint(rows: pd.DataFrame) -> list[str]:
    joint = select.methods(select.where(rows, path="joint"))
    if not joint:
        return []
    by = listed([style.look(method).label for method in joint])
    return [f"By {by} all networks are aligned at once instead."]


def facts(rows: pd.DataFrame, *, counted: bool = True) -> str:
    """What defines the numbers of a figure, for its caption.

    Data set, model, split, examples, baseline and seeds; if `counted` also how many
    pairs and simplices there are, of how many points, and the methods.
    """
    said = [f"Data set {_all(rows, 'dataset')}", f"model {_all(rows, 'family')}"]
    for split in ("train", "test"):
        if counts := _all(select.where(rows, split=split), "examples"):
            said.append(f"{split}: {counts} examples")
    if baselines := _all(rows, "baseline"):
        said.append(f"baseline: {baselines}")
    said += vertices(rows) if counted else []
    if precisions := _all(rows, "precision"):
        said.append(precisions)
    seeds = {seed for several in rows["seeds"].unique() for seed in several}
    return "; ".join([*said, f"seeds {short(tuple(sorted(seeds)))}."])


def vertices(rows: pd.DataFrame) -> list[str]:
    """How many pairs and simplices of how many points, and how they were aligned."""
    said = []
    for k, part in rows.dropna(subset="k").groupby("k"):
        one = {1: "network", 2: "pair"}.get(k, "simplex")
        what = _several(part["seeds"].nunique(), one)
        of = f" of {k:.0f} networks" if k > 2 else ""
        points = select.points(part) if k > 1 else ""
        said.append(", ".join(x for x in (f"{what}{of}", points) if x))
    methods = []
    for method in select.methods(rows, aligning=True):
        joint = (select.where(rows, method=method)["path"] == "joint").any()
        methods.append(style.look(method).label + (" (moving all)" if joint else ""))
    return [*said, f"aligned by {' or '.join(methods)}"] if methods else said


def of_levels(what: str, rows: pd.DataFrame, column: str = "width") -> str:
    """Where the error barrier meets the threshold, and how the loss barrier falls.

    Args:
      what: the sentence begins with it, such as "Pairs, weight matching".
      rows: training barriers of one method and one kind of simplex, of a `Selection`.
      column: the barriers are told at each of its values, but where a vertex is near
        chance.
    """
    given, rows = rows, ends.judged(rows, column)
    if rows.empty:
        return f"{what}: no verdict, since not all ends are clearly below chance."
    met, missed = _met(rows, column)
    parts = []
    if met:
        parts.append(f"at or below {LMC_THRESHOLD} at {column} {listed(met)}")
    if missed:
        than = "it" if met else LMC_THRESHOLD
        parts.append(f"above {than} at {column} {listed(missed)}")
    if near := unjudged(given, column):
        parts.append(f"not judged at {column} {listed(near)}, with ends near chance")
    return (
        f"{what}: the training error barrier (mean of {how_many(rows, column)} a "
        f"{column}) is "
        f"{' and '.join(parts)}; {_fall(select.where(rows, metric='loss'), column)}."
    )


def unjudged(rows: pd.DataFrame, column: str) -> list[str]:
    """The levels of a column at which no verdict is drawn."""
    judged = ends.judged(rows, column)[column].unique()
    return [short(x) for x in select.levels(rows, column) if x not in judged]


def none(rows: Selection) -> list[str]:
    """What is said instead of verdicts where all barriers are left out."""
    if rows.rows.empty and rows.near_chance:
        return ["No verdict: every barrier has an end near chance, or that diverged."]
    return []


def table_of_levels(
    headers: Sequence[str],
    lines: Sequence[tuple[Sequence[str], pd.DataFrame]],
    column: str = "width",
) -> list[Table]:
    """What `of_levels` says of several, as a table; none of none.

    Args:
      headers: of the cells that name a line, such as `("networks", "method")`.
      lines: those cells of a line, and its rows.
      column: the barriers are told at each of its values.
    """
    rows = [(*names, *_cells(part, column)) for names, part in lines]
    error = [f"error barrier {sign} {LMC_THRESHOLD} at {column}" for sign in "≤>"]
    near = f"ends near chance at {column}"
    loss = ("loss barrier from", "loss barrier to", "falls at")
    caption = (
        "Where the mean training error barrier is at most "
        f"{LMC_THRESHOLD}, and how the loss barrier goes with {column}"
    )
    headers = (*headers, "mean of", *error, near, *loss)
    return [Table(caption, headers, rows)] if rows else []


def _cells(given: pd.DataFrame, column: str) -> tuple[str, ...]:
    """What is said of a line; of levels that are not judged only which they are."""
    rows, near = ends.judged(given, column), ", ".join(unjudged(given, column))
    if rows.empty:
        return ("nothing", NOTHING, NOTHING, near, NOTHING, NOTHING, NOTHING)
    met, missed = (", ".join(x) or "none" for x in _met(rows, column))
    found = select.mean(select.where(rows, metric="loss"), [column])
    means = found["mean"].to_numpy(float)
    both = [f"{number(means[i])} at {short(found[column].iloc[i])}" for i in (0, -1)]
    falls = f"{(np.diff(means) < 0).sum()} of {len(means) - 1} steps"
    return (how_many(rows, column), met, missed, near or "none", *both, falls)


def _met(rows: pd.DataFrame, column: str) -> list[list[str]]:
    """The levels at which the error barrier meets the threshold, and the others."""
    error = select.mean(select.where(rows, metric="error"), [column])
    low = error["mean"] <= LMC_THRESHOLD
    return [[short(x) for x in error.loc[is_, column]] for is_ in (low, ~low)]


def how_many(rows: pd.DataFrame, column: str = "width") -> str:
    """`15 pairs`, or simplices, of the rows."""
    return count(rows, "pair" if (rows["k"] == 2).all() else "simplex", column)


def _fall(rows: pd.DataFrame, column: str) -> str:
    found = select.mean(rows, [column])
    means = found["mean"].to_numpy(float)
    values, places = [number(x) for x in means], [short(x) for x in found[column]]
    if len(means) == 1:
        return f"the loss barrier at {column} {places[0]} is {values[0]}"
    falls, steps = (np.diff(means) < 0).sum(), len(means) - 1
    often = "every step" if falls == steps else f"{falls} of {steps} steps"
    return (
        f"the loss barrier falls at {often} of {column}, from {values[0]} at {column} "
        f"{places[0]} to {values[-1]} at {column} {places[-1]}"
    )


def count(rows: pd.DataFrame, one: str, column: str = "width") -> str:
    """`15 pairs`, or `13 to 15 pairs` where the levels of a column differ."""
    counts = rows.groupby(column)["seeds"].nunique().tolist()
    low, high = min(counts), max(counts)
    return ("" if low == high else f"{low} to ") + _several(high, one)


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _several(amount: int, one: str) -> str:
    many = {"simplex": "simplices"}.get(one, f"{one}s")
    return f"{amount} {one if amount == 1 else many}"


def _all(rows: pd.DataFrame, column: str) -> str:
    return short(tuple(sorted(rows[column].dropna().unique())))
