"""Table and sentences on one permutation for a whole sequence, from located rows."""

import numpy as np
import pandas as pd

from experiments.one_permutation_rows import (
    ALONE,
    ANEW,
    JOINT,
    NAIVE,
    Line,
    chosen,
    lines,
)
from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import Spread, Table, select
from linconn_jax.report.ends import judged
from linconn_jax.report.sentences import count, listed, unjudged
from linconn_jax.report.style import look, number, short
from linconn_jax.report.tables import AT_ENDS, NOTHING, spread
from linconn_jax.study.sequences import SequenceKind


def table(kind: SequenceKind, found: pd.DataFrame, agreed: pd.DataFrame) -> list[Table]:
    """Barriers along the sequence, a line for each permutation; none of none."""
    if found.empty:
        return []
    agreed = select.where(agreed, axis="all")
    caption = (
        "Training barriers (interpolated baseline) of one permutation applied at every "
        f"{kind.each}, and the networks' own loss and error ({AT_ENDS}): means over pairs"
    )
    headers = (
        "width",
        f"P found at {kind.noun}",
        "pairs",
        "loss: largest",
        f"at {kind.noun}",
        "loss at the end",
        AT_ENDS,
        "error: largest",
        "error at the end",
        AT_ENDS,
        f"agreement with {kind.chosen_name}",
    )
    null = agreed[agreed["draw"] > 0]
    rows = []
    for width in select.levels(found):
        own, last = select.where(found, width=width), found["place"].max()
        agreement = select.where(agreed, width=width)
        for line in lines(kind, own):
            same = _agreeing(kind, line, agreement, chosen(kind, own))
            cells = _line(line, last)
            rows.append((short(width), *cells, *(spread(x) for x in same)))
    if null.empty:
        return [Table(caption, headers, [row[:-1] for row in rows])]
    return [Table(caption, (*headers, "of two runs"), rows)]


def _agreeing(
    kind: SequenceKind, line: Line, agreed: pd.DataFrame, chosen: float
) -> list[pd.DataFrame]:
    """Agreements of a line's permutation with the chosen one, and of two runs for it."""
    if line.again or line.source not in (ALONE, JOINT):
        return [agreed[:0]] * 2
    own = agreed[np.array([x == line.at for x in agreed["at"]], bool)]
    if line.source == ALONE:
        own = select.where(agreed, source=ALONE, found=line.at)
    first = select.where(own, draw=0, place=chosen)
    return [first, own[own["draw"] > 0]]


def _line(line: Line, last: float) -> tuple[str | Spread, ...]:
    """A line of the table: largest means, and barriers at the last place."""
    loss, error = (select.where(line.rows, metric=m) for m in ("loss", "error"))
    ends = [select.where(x, place=last) for x in (loss, error)]
    at_end = [spread(part, column) for part in ends for column in ("value", "ends")]
    return (
        line.name,
        _pairs(line.rows),
        *_largest(loss),
        *at_end[:2],
        _largest(error)[0],
        *at_end[2:],
    )


def _pairs(rows: pd.DataFrame) -> str:
    """How many there are at each place: `3`, or `2..3` where some are left out."""
    counts = rows.groupby("place")["seeds"].nunique()
    low, high = counts.min(), counts.max()
    return f"{high}" if low == high else f"{low}..{high}"


def _largest(rows: pd.DataFrame) -> tuple[str, str]:
    """The largest mean over places, and its place."""
    means = select.mean(rows, ["place"]).sort_values("place")
    if means.empty:
        return NOTHING, NOTHING
    finite = np.isfinite(means["mean"])
    top = means.loc[means["mean"].idxmax() if finite.all() else finite.idxmin()]
    return number(top["mean"]), f"{top['place']:.3g}"


def sentences(
    kind: SequenceKind, found: pd.DataFrame, agreed: pd.DataFrame
) -> list[str]:
    """For each width: what the chosen permutation does, and the others beside it."""
    said = []
    for width in select.levels(found):
        own, at = select.where(found, width=width), f"Width {width}: "
        loss, error = (select.where(own, metric=x) for x in ("loss", "error"))
        told = [*all_along(kind, loss), *in_the_end(kind, error)]
        if judged(loss, "place").size:
            told += together(kind, loss)
            told += by_chance(kind, loss, select.where(agreed, width=width))
        said += [f"{at}{sentence}" for sentence in told]
    return said


def all_along(kind: SequenceKind, rows: pd.DataFrame) -> list[str]:
    """Where the chosen permutation lowers the naive loss barrier."""
    early, later = unjudged(rows, "place"), judged(rows, "place")
    if len(rows) and later.empty:
        return [f"no verdict, since no {kind.noun}'s networks are trained."]
    own, name = chosen(kind, rows), kind.chosen_name
    if own not in set(later["place"]):  # where it was found nothing can be judged
        return []
    aligned, plain = (
        _means(later, kind, source, at) for source, at in ((ALONE, own), (NAIVE, None))
    )
    if aligned.empty or plain.empty:
        return []
    if not np.isfinite(aligned).all():
        return [f"the training loss barrier of {name} is not always finite."]
    lower = aligned.index[aligned < plain]
    rest = [f"{t:.3g}" for t in aligned.index if t not in lower]
    told = [f"not at {kind.noun} {listed(rest)}"] if rest else []
    told += [f"not judged: {kind.noun} {listed(early)}"] if early else []
    not_at = f" ({'; '.join(told)})" if told else ""
    at, last = aligned.idxmax(), aligned.index.max()
    end = f", and at the end {number(aligned[last])} against {number(plain[last])}"
    return [
        f"{name}, found {kind.chosen_where} ({kind.noun} {own:.3g}), lowers the mean "
        f"training loss barrier of {count(later, 'pair', 'place')} at {len(lower)} of "
        f"{len(aligned)} {kind.each}s whose networks are clearly below chance"
        f"{not_at}; at its largest, at {kind.noun} {at:.3g}, it is "
        f"{number(aligned[at])} where the naive one is {number(plain[at])}"
        f"{'' if at == last else end}."
    ]


def _means(
    rows: pd.DataFrame,
    kind: SequenceKind,
    source: str,
    at: float | tuple | None = None,
    *,
    again: bool = False,
) -> pd.Series:
    """Means by place, ascending, of the first draw or of others; empty if of none."""
    for line in lines(kind, rows):
        if (line.source, line.again) == (source, again) and at in (None, line.at):
            return line.means.set_index("place")["mean"]
    return pd.Series(dtype=float)


def in_the_end(kind: SequenceKind, rows: pd.DataFrame) -> list[str]:
    """Which permutations bring the error barrier at the last place down."""
    ends = judged(select.where(rows, place=rows["place"].max()), "place")
    ends = select.where(ends, source=ALONE, draw=0)
    ends = select.mean(ends, ["found"])
    if ends.empty:
        return []
    enough, each = ends.loc[ends["mean"] <= LMC_THRESHOLD, "found"], kind.each
    some = f"P_{kind.symbol}"
    if enough.empty:
        best = ends["mean"].min()
        low = "" if np.isnan(best) else f"; the lowest is {number(best)}"
        return [
            f"no {each.removesuffix(kind.noun)}{some} brings the mean training error "
            f"barrier at {kind.end} to {LMC_THRESHOLD} or below{low}."
        ]
    return [
        f"the earliest {some} with a mean training error barrier of at most "
        f"{LMC_THRESHOLD} at {kind.end} is that of {kind.noun} {enough.min():.3g}."
    ]


def together(kind: SequenceKind, rows: pd.DataFrame) -> list[str]:
    """What permutations that are fitted to several places do, beside the others."""
    rows = judged(rows, "place")
    several = [x for x in lines(kind, rows) if x.source == JOINT and not x.again]
    if not several:
        return []

    def averages(source: str, at: float | tuple | None = None) -> str:
        both = (_means(rows, kind, source, at, again=again) for again in (False, True))
        return " and ".join(number(x.to_numpy().mean()) for x in both if len(x))

    own = chosen(kind, rows)
    told = [f"{averages(JOINT, x.at)} fitted to {x.name}" for x in several]
    told += [f"{averages(ALONE, own)} fitted {kind.chosen_where} ({kind.chosen_name})"]
    told += [f"{averages(ANEW)} matched anew at each {kind.noun}"]
    each = len(select.levels(rows, "place"))
    method = look(several[0].rows["method"].iloc[0]).label
    return [
        f"averaged over the {each} {kind.each}s whose networks are clearly below chance, "
        f"the training loss barrier of one permutation is, by {method}, {listed(told)} "
        "(where there are two numbers, those of two runs)."
    ]


def by_chance(
    kind: SequenceKind, rows: pd.DataFrame, agreed: pd.DataFrame
) -> list[str]:
    """What two runs on the same pair differ by, where the chosen one is found."""
    at, agreed = chosen(kind, rows), select.where(agreed, axis="all")
    here = judged(select.where(rows, place=at), "place")
    here = select.where(here, source=ALONE, found=at)
    one, again = here[here["draw"] == 0], here[here["draw"] > 0]
    same = select.where(agreed, source=ALONE, found=at, place=at)
    same = same[same["draw"] > 0]
    if one.empty or again.empty or same.empty:
        return []
    null = same["value"].mean()
    others = select.where(agreed, source=ALONE, draw=0, place=at)
    others = select.mean(others[others["found"] != at], ["found"])
    enough = others.loc[others["mean"] >= null, "found"]
    some = f"P_{kind.symbol} agrees with {kind.chosen_name} on as many"
    told = [f"{x:.3g}" for x in enough]
    where = f"where found at {kind.noun} {listed(told)}" if told else "nowhere else"
    return [
        f"two runs on the same pair, {kind.chosen_where}, agree on {spread(same)} of the "
        f"units, with loss barriers {number(one['value'].mean())} and "
        f"{number(again['value'].mean())}; {some} {where}."
    ]
