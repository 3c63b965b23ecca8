"""What is said of strong connectivity: where barriers are low, and who is to blame."""

import pandas as pd

from experiments.strong_figures import kinds
from experiments.strong_matcher import (
    AT_ONCE,
    REFERENCE,
    matcher,
    methods_by,
    simplices,
)
from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import Selection, Table, ends, select, style
from linconn_jax.report.naive import not_below
from linconn_jax.report.sentences import listed, none, table_of_levels, unjudged
from linconn_jax.report.style import short


def said(rows: Selection) -> list[str | Table]:
    """Verdicts of every kind and method, whose fault barriers are, and what is no use."""
    found = select.barriers(rows.rows, split="train")
    lines = [
        ((kind, style.look(method).label), part)
        for method in select.methods(found, aligning=True)
        for kind, part in kinds(select.where(found, method=method)).items()
    ]
    levels = [line for line in lines if line[0][0] != "pair"]
    named = [(f"{x[0].upper()}{x[1:]}, {label}", part) for (x, label), part in lines]
    naive = select.where(found, method="naive")
    below = [
        sentence
        for what, part in named
        for sentence in not_below([(what, part)], _alike(naive, part))
    ]
    return [
        *none(rows),
        *table_of_levels(("networks", "method"), levels),
        *first_below(found),
        *matcher(found, rows.everything),
        *below,
    ]


def _alike(naive: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The naive rows of as many networks."""
    return naive[naive["k"].isin(rows["k"])]


def first_below(rows: pd.DataFrame) -> list[str]:
    """For simplices of k networks: from which width on each method's barrier is low."""
    said = []
    for k, part in simplices(rows):
        if not select.methods(part, aligning=True):
            continue
        places: dict[str, list[str]] = {}
        for method in select.methods(part):
            own = select.where(part, method=method)
            how = _how(own)
            places.setdefault(_first(own), []).append(
                style.look(method).label + (f" ({how})" if how else "")
            )
        met = [f"{at} by {listed(by)}" for at, by in places.items()]
        said.append(
            f"Simplices of {k} networks: the mean training error barrier is at or below "
            f"{LMC_THRESHOLD} {'; '.join(met)}."
        )
    return said


def _first(rows: pd.DataFrame) -> str:
    """`first at width 64`, and at which larger ones it is above again."""
    near = unjudged(rows, "width")
    ending = f" (not judged at {listed(near)}, with ends near chance)" if near else ""
    error = select.where(ends.judged(rows), metric="error")
    if error.empty:
        return f"nowhere as far as known{ending}"
    means = select.mean(error, ["width"])
    low = (means["mean"] <= LMC_THRESHOLD).tolist()
    widths = [short(x) for x in means["width"]]
    if not any(low):
        which = "at no width" if len(low) > 1 else f"not at width {widths[0]}"
        return f"{which}{ending}"
    first = low.index(True)
    again = [
        w for w, is_low in zip(widths[first:], low[first:], strict=True) if not is_low
    ]
    above = f" (above it again at {listed(again)})" if again else ""
    often = "first at" if len(low) > 1 else "at"
    return f"{often} width {widths[first]}{above}{ending}"


def _how(rows: pd.DataFrame) -> str:
    """How simplices of one method are aligned; nothing of those that are not."""
    paths = methods_by(rows, REFERENCE), methods_by(rows, AT_ONCE)
    return "through a reference" * bool(paths[0]) + "all at once" * bool(paths[1])
