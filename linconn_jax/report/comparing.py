"""Tables, figures and sentences on a few networks, by their numbers."""

import functools
import itertools

import pandas as pd

from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import lines, select, style
from linconn_jax.report.sentences import drawings
from linconn_jax.report.style import Drawing, number, short
from linconn_jax.report.tables import CASES, Table, spread
from linconn_jax.report.triangles import triangles

MOST_LINES = 60
"""A table of every pair has at most so many lines."""
_SEGMENT = (
    "Loss and error along the segment (1−α)θ₁ + αθ₂ between two networks, by each "
    "method. Thick lines are means over pairs, thin ones single pairs."
)
_TRIANGLE = (
    "Training loss at every point of the triangle that the three networks span, by each "
    "method, the others aligned to network 0; aligned networks have a scale of their own."
)


def each(rows: pd.DataFrame) -> list[Table]:
    """The barriers of every pair and simplex, if they are not too many."""
    found = select.barriers(rows)
    parts = [
        ((short(names), style.look(method).label), select.where(of, method=method))
        for (_, names), of in found.groupby(["k", "seeds"])
        for method in select.methods(of)
    ]
    over = "over the interpolated baseline (loss in nats)"
    caption = f"Barriers of each pair and simplex {over}"
    few = parts if len(parts) <= MOST_LINES else []
    return _table(caption, ("networks", "method"), few)


def alone(rows: pd.DataFrame) -> list[Table]:
    """Loss and error of each network by itself."""
    ends = select.where(rows, quantity="value").dropna(subset="vertex")
    at = zip(ends["seeds"], ends["vertex"], strict=True)
    ends = ends.assign(network=[seeds[int(i)] for seeds, i in at])
    ends = ends.drop_duplicates(["network", "split", "metric"])
    parts = [((short(i),), of) for i, of in ends.groupby("network")]
    return _table("The networks by themselves (loss in nats)", ("network",), parts)


def _table(
    caption: str,
    names: tuple[str, ...],
    parts: list[tuple[tuple[str, ...], pd.DataFrame]],
) -> list[Table]:
    """Names, then the values of each metric on each split that there is."""
    found = {split for _, rows in parts for split in rows["split"]}
    cases = [(metric, split) for metric, split in CASES if split in found]
    headers = (*names, *(f"{split} {metric}" for metric, split in cases))
    lines = [
        (*name, *(spread(select.where(rows, metric=m, split=s)) for m, s in cases))
        for name, rows in parts
    ]
    return [Table(caption, headers, lines)] if lines else []


def said(rows: pd.DataFrame) -> list[str]:
    """For each method how many pairs, and whether the simplex, have a low barrier."""
    found, sentences = select.barriers(rows, split="train", metric="error"), []
    for method, k in itertools.product(
        select.methods(found), select.levels(found, "k")
    ):
        own = select.where(found, method=method, k=k)
        what = "Pairs" if k == 2 else f"Simplex of {k:.0f} networks"
        what += f", {style.look(method).label}"
        own, others = own[own["is_judged"]]["value"], int((~own["is_judged"]).sum())
        if own.empty:
            sentences.append(f"{what}: no verdict, since an end is near chance.")
            continue
        told = f"{what}: the training error barrier is"
        low, largest = int((own <= LMC_THRESHOLD).sum()), number(own.max())
        if k == 2:
            told += f" at most {LMC_THRESHOLD} in {low} of {len(own)}; the largest is"
        near = f" ({others} not judged, with an end near chance)" if others else ""
        sentences.append(f"{told} {largest}{near}.")
    return sentences


def figures(rows: pd.DataFrame) -> list[Drawing]:
    """Segments of all pairs; of three networks, their triangle."""
    values = select.where(rows, quantity="value")
    pairs = select.where(values, k=2)
    three = select.where(rows, k=3, split="train", metric="loss")
    inside = select.where(three, quantity="value")
    splits = {
        name: title
        for name, title in style.SPLITS.items()
        if name in set(pairs["split"])
    }
    along = functools.partial(lines.segments, column="split", titles=splits)
    return [
        *drawings("compare_segment", along, pairs, _SEGMENT),
        *drawings(
            "compare_triangle",
            lambda _: triangles(three, called="network"),
            inside,
            _TRIANGLE,
        ),
    ]
