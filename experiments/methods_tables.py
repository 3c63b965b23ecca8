"""Tables and sentences of methods compared, from their rows."""

import pandas as pd

from experiments.methods_figures import agreements as both_ways
from experiments.methods_figures import compared, names
from linconn_jax.report import Table, select, style
from linconn_jax.report.ends import judged
from linconn_jax.report.naive import not_below
from linconn_jax.report.sentences import count
from linconn_jax.report.style import number, short
from linconn_jax.report.tables import NOTHING, RANGES, spread

_REFERENCES = ("naive", "random")


def objectives(rows: pd.DataFrame) -> list[Table]:
    """What each method says of its own objective, and how near the weights come."""
    found, apart = (select.where(rows, quantity=x) for x in ("objective", "distance"))
    apart = select.where(apart, axis="all", metric="normalised")
    lines = []
    for width in select.levels(apart):
        here = select.where(apart, width=width)
        for name in names(here):
            own = select.where(found, width=width, name=name)
            cells = (spread(select.where(own, metric=m)) for m in _OBJECTIVE)
            near = spread(select.where(here, name=name))
            lines.append((short(width), name, *cells, near))
    caption = (
        "The objective of each method, to be compared only within its lines, at the "
        "permutation found and where nothing is moved; its sweeps; and the normalised "
        "squared distance of the weights (2 of uncorrelated networks), which all can be "
        f"compared by: mean over pairs{RANGES}"
    )
    headers = ("width", "method", *_OBJECTIVE.values(), "distance")
    return [Table(caption, headers, lines)] if lines else []


_OBJECTIVE = {"found": "objective", "naive": "nothing moved", "sweeps": "sweeps"}


def agreements(rows: pd.DataFrame) -> list[Table]:
    """On how many units two methods agree, at the largest width."""
    found = select.where(rows, quantity="agreement", axis="all")
    if found.empty:
        return []
    width, order = select.levels(found)[-1], compared(found)
    both = both_ways(select.where(found, width=width))
    lines = [
        (name, *(spread(select.where(both, name=name, other=x)) for x in order))
        for name in order
    ]
    caption = (
        "Fraction of units that two methods put in the same place, over all layers, "
        f"width {short(width)}: mean over pairs{RANGES}"
    )
    return [Table(caption, ("method", *order), lines)]


def _barriers(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    found = judged(select.barriers(rows, split="train"))
    return select.where(found, metric=metric)


def lowest(rows: pd.DataFrame) -> list[Table]:
    """In how many pairs each method has the lowest training barriers."""
    lines = []
    for metric in ("loss", "error"):
        found = _barriers(rows, metric)
        for width in select.levels(found):
            here = select.where(found, width=width)
            order = names(found)
            table = here.pivot_table(index="seeds", columns="name", values="value")
            best = table.eq(table.min(axis=1), axis=0).sum()
            cells = (str(best[x]) if x in best else NOTHING for x in order)
            lines.append((metric, short(width), str(len(table)), *cells))
    caption = (
        "In how many pairs a method has the lowest training barrier of all; pairs in "
        "which several are lowest count for each of them"
    )
    headers = ("barrier", "width", "pairs", *names(_barriers(rows, "loss")))
    return [Table(caption, headers, lines)] if lines else []


def at_the_end(rows: pd.DataFrame) -> list[str]:
    """At a few widths the method with the lowest mean, beside naive and random."""
    found, said = _barriers(rows, "loss"), []
    agreed = select.where(rows, quantity="agreement", axis="all")
    for width in select.few(select.levels(found)):
        here = select.where(found, width=width)
        order = names(here)
        means = here.groupby("name")["value"].mean()
        aligning = [x for x, method in order.items() if method not in _REFERENCES]
        if not aligning:
            continue
        ordered = sorted(aligning, key=lambda name: means[name])
        best = spread(select.where(here, name=ordered[0]))
        others = [x for x in order if x in ordered[1:] or x not in aligning]
        beside = ", ".join(f"{x} {number(means[x])}" for x in others)
        said.append(
            f"Width {short(width)}: of {len(aligning)} methods and variants {ordered[0]} "
            f"has the lowest mean training loss barrier of {count(here, 'pair')}, {best}"
            f"; {beside}.{_agreeing(select.where(agreed, width=width), ordered)}"
        )
    return said


def _agreeing(rows: pd.DataFrame, ordered: list[str]) -> str:
    """How far the best two agree, beside what a random permutation gives."""
    both, (best, *others) = both_ways(rows), ordered
    chance = select.where(both, name=best, other=style.look("random").label)
    pair = select.where(both, name=best, other=others[0] if others else "")
    if pair.empty or chance.empty:
        return ""
    return (
        f" It and {others[0]} put {number(pair['value'].mean())} of the units in the "
        f"same place, it and a random permutation {number(chance['value'].mean())}."
    )


def no_use(rows: pd.DataFrame) -> list[str]:
    """Which methods and variants are somewhere not below naive."""
    found = select.barriers(rows, split="train")
    aligning = [x for x, method in names(found).items() if method not in _REFERENCES]
    lines = [(f"Pairs, {name}", select.where(found, name=name)) for name in aligning]
    return not_below(lines, select.where(found, method="naive"))
