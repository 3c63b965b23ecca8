"""What is said of copies that share the past, in a table and in sentences."""

import pandas as pd

from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import Spread, Table, ends, select, style
from linconn_jax.report.sentences import listed, unjudged
from linconn_jax.report.style import number, short
from linconn_jax.report.tables import AT_ENDS, CASES, RANGES, spread

COPIES, SAME, APART = "copies", "copies, same noise", "independent"


def parts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of copies, of copies with the same noise, and of independent networks."""
    apart, same = rows["spawned_at"].isna(), rows["noise"].eq(0)
    return {COPIES: rows[~apart & ~same], SAME: rows[same], APART: rows[apart]}


def copies(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of copies with noise of their own."""
    return parts(rows)[COPIES]


def count(rows: pd.DataFrame) -> int:
    """Of pairs: copies of one seed are told apart by the numbers of their noise."""
    return rows.groupby(["seeds", "noise"], dropna=False, sort=False).ngroups


def table(found: pd.DataFrame) -> list[Table]:
    """Barriers by width, epoch and method; what has an end near chance is counted."""
    lines = []
    for width in select.levels(found):
        for kind, part in parts(select.where(found, width=width)).items():
            of_epochs = [
                (short(k), select.where(part, spawned_at=k))
                for k in select.levels(part, "spawned_at")
            ]
            for epoch, rows in [("–", part)] if kind == APART else of_epochs:
                for method in select.methods(rows):
                    own = select.where(rows, method=method)
                    name = style.look(method).label
                    lines.append((short(width), kind, epoch, name, *_cells(own)))
    cases = [header for m, s in CASES for header in (f"{s} {m}", AT_ENDS)]
    headers = ("width", "networks", "k", "method", "pairs", "left out", *cases)
    caption = (
        "Barriers at the end of training (interpolated baseline, loss in nats) of "
        "networks and copies of them that share everything up to epoch k, and the "
        f"networks' own loss and error ({AT_ENDS}): mean over pairs{RANGES}"
    )
    return [Table(caption, headers, lines)] if lines else []


def _cells(rows: pd.DataFrame) -> list[str | Spread]:
    good = ~rows["is_left_out"] & rows["is_judged"].astype(bool)
    own = [select.where(rows[good], metric=m, split=s) for m, s in CASES]
    numbers = [spread(x, column) for x in own for column in ("value", "ends")]
    return [str(count(rows[good])), str(count(rows[~good])), *numbers]


def of_width(found: pd.DataFrame, width: int) -> list[str]:
    """For each method from which epoch on the error barrier is low, and the ends of it.

    Args:
      found: training barriers of one width.
      width: for the sentence.
    """
    own, said = copies(found), []
    for method in select.methods(own):
        rows, naive = (select.where(own, method=m) for m in (method, "naive"))
        apart = select.where(parts(found)[APART], method=method)
        said.append(
            f"Width {short(width)}, {style.look(method).label}: {_from(rows)}"
            f"{_numbers(rows, apart)}."
        )
        said += [] if method == "naive" else _against_naive(rows, naive)
    return said


def _against_naive(rows: pd.DataFrame, naive: pd.DataFrame) -> list[str]:
    """In how many cases alignment lowers the loss barrier of copies, or keeps it."""
    same, suffixes = ["spawned_at", "seeds", "noise"], ("", "_naive")
    own, plain = (
        select.where(ends.judged(x, "spawned_at"), metric="loss")[[*same, "value"]]
        for x in (rows, naive)
    )
    both = own.merge(plain, on=same, suffixes=suffixes)
    if both.empty:
        return []
    lower = int((both["value"] < both["value_naive"]).sum())
    equal = int((both["value"] == both["value_naive"]).sum())
    return [
        f"Of {len(both)} copies it leaves the loss barrier exactly as the naive one in "
        f"{equal} cases, and lowers it in {lower}."
    ]


def stays(rows: pd.DataFrame, column: str = "mean") -> float | None:
    """The smallest epoch from which on the error barrier is at most the threshold.

    Args:
      rows: training barriers of one width and method.
      column: "mean" over pairs, or "max" for all of them.
    """
    rows = ends.judged(select.where(rows, metric="error"), "spawned_at")
    found = select.mean(rows, ["spawned_at"]).sort_values("spawned_at")
    low = found[column] <= LMC_THRESHOLD  # of a number that is not finite: no
    kept = found["spawned_at"][low[::-1].cummin()[::-1]]
    return None if kept.empty else float(kept.iloc[0])


def _from(rows: pd.DataFrame) -> str:
    """Where it is low, as a part of a sentence."""
    judged = ends.judged(rows, "spawned_at")
    if judged.empty:
        return "no verdict, since not all ends are clearly below chance"
    levels, first = select.levels(judged, "spawned_at"), stays(rows)
    near = unjudged(rows, "spawned_at")
    told = f" (not judged: k = {listed(near)}, with ends near chance)" if near else ""
    what = f"the training error barrier (mean of {count(judged)} pairs)"
    if first is None:
        last = select.where(judged, metric="error", spawned_at=levels[-1])
        return (
            f"{what} of a network and its copy is above {LMC_THRESHOLD} up to the last "
            f"k = {short(levels[-1])}, where it is {number(last['value'].mean())}{told}"
        )
    all_of_them = stays(rows, "max")
    each = (
        "no k looked at brings every single pair there for good"
        if all_of_them is None
        else f"of every single pair from k = {short(all_of_them)} on"
    )
    where = (
        f"at every k looked at, from {short(first)}"
        if first == levels[0]
        else f"from k = {short(first)} on, and not at k = "
        f"{short(levels[levels.index(first) - 1])}"
    )
    return f"{what} stays at or below {LMC_THRESHOLD} {where}, {each}{told}"


def _numbers(rows: pd.DataFrame, apart: pd.DataFrame) -> str:
    """The loss barrier at the first and last epoch and of independent networks."""
    loss = select.where(ends.judged(rows, "spawned_at"), metric="loss")
    levels = select.levels(loss, "spawned_at")
    if not levels:
        return ""
    said = [
        f"{spread(select.where(loss, spawned_at=k))} at k = {short(k)}"
        for k in dict.fromkeys((levels[0], levels[-1]))
    ]
    apart = select.where(apart[apart["is_judged"].astype(bool)], metric="loss")
    if len(apart):
        said.append(f"{spread(apart)} between independent networks")
    return f"; the loss barrier is {listed(said)}"


def control(rows: pd.DataFrame) -> list[str]:
    """Whether copies with the same noise are the network itself."""
    same = parts(rows)[SAME]
    values = same[(same["quantity"] == "value") & same["vertex"].notna()]
    if values.empty:
        return []
    each = values.groupby(["unit", "metric", "split"])["value"].agg(["min", "max"])
    units = (each["min"] == each["max"]).groupby("unit").all()
    barriers = select.barriers(same)
    largest = [
        f"{select.where(barriers, metric=m)['value'].abs().max():.1g} ({m})"
        for m in ("error", "loss")
    ]
    epochs = [short(k) for k in select.levels(same, "spawned_at")]
    return [
        f"Control: of {len(units)} copies that share everything and go on with the same "
        f"noise (k = {listed(epochs)}), {int(units.sum())} have at the end exactly the "
        f"loss and error of the network that they are copies of; the largest barrier is "
        f"{listed(largest)}, 0 but for the rounding of weights in between."
    ]
