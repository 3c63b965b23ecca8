"""What the numbers say of each claim, in sentences made from them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import select, style
from linconn_jax.report.figures.strong import others, strong_methods
from linconn_jax.report.style import number


def weak(rows: pd.DataFrame) -> list[str]:
    """For each method: where its error barrier meets the threshold, and how it falls."""
    found = _train(select.weak(rows))
    said = []
    for method in select.methods(found):
        if method in ("naive", "random"):
            continue
        own = found[found["method"] == method]
        said.append(_of_widths(f"Pairs, {style.look(method).label}", own))
        said += _against_naive(own, found[found["method"] == "naive"])
    return said


def strong(rows: pd.DataFrame) -> list[str]:
    """The same for pairs through a third network and simplices."""
    found = _train(rows)
    said = []
    for method in strong_methods(found):
        own = found[found["method"] == method]
        for label, part in others(own).items():
            said.append(
                _of_widths(f"{label.capitalize()}, {style.look(method).label}", part)
            )
    return said


def simultaneous(rows: pd.DataFrame) -> list[str]:
    """For each width: at how many epochs P_T helps, and which P_t suffice at the end."""
    found = _train(select.simultaneous(rows))
    said = []
    for width in select.widths(found):
        part = found[found["width"] == width]
        said += _all_along(part[part["metric"] == "loss"], width)
        said += _in_the_end(part[part["metric"] == "error"], width)
    return said


def _all_along(rows: pd.DataFrame, width: int) -> list[str]:
    means = select.mean(rows, ["fit_epoch", "epoch"])
    last = means["fit_epoch"].max()
    table = means.pivot(index="epoch", columns="fit_epoch", values="mean")
    naive = table.columns.isna()
    if not naive.any() or np.isnan(last):
        return []
    aligned, plain = table[last], table.loc[:, naive].iloc[:, 0]
    if not np.isfinite(aligned).all():
        return [
            f"Width {width}: the training loss barrier of P_T is not always finite."
        ]
    lower = aligned.index[aligned < plain]
    rest = [f"{t:.3g}" for t in aligned.index if t not in lower]
    not_at = f" (not at epoch {_list(rest)})" if rest else ""
    at = aligned.idxmax()
    end = (
        ""
        if at == last
        else f", and at the end {number(aligned[last])} against {number(plain[last])}"
    )
    return [
        f"Width {width}: P_T, found at the end (epoch {last:.3g}), lowers the mean "
        f"training loss barrier of {_pairs(rows)} at {len(lower)} of {len(aligned)} "
        f"recorded epochs{not_at}; at its largest, at epoch {at:.3g}, it is "
        f"{number(aligned[at])} where the naive one is {number(plain[at])}{end}."
    ]


def _in_the_end(rows: pd.DataFrame, width: int) -> list[str]:
    ends = select.mean(rows[rows["last"]], ["fit_epoch"]).dropna(subset="fit_epoch")
    if ends.empty:
        return []
    ends = ends.sort_values("fit_epoch")
    enough = ends.loc[ends["mean"] <= LMC_THRESHOLD, "fit_epoch"]
    best = ends.loc[ends["mean"].idxmin()] if ends["mean"].notna().any() else None
    if enough.empty:
        low = "" if best is None else f"; the lowest is {number(best['mean'])}"
        return [
            f"Width {width}: no recorded P_t brings the mean training error barrier at "
            f"the end of training to {LMC_THRESHOLD} or below{low}."
        ]
    return [
        f"Width {width}: the earliest P_t with a mean training error barrier of at most "
        f"{LMC_THRESHOLD} at the end of training is that of epoch {enough.iloc[0]:.3g}."
    ]


def _of_widths(what: str, rows: pd.DataFrame) -> str:
    error = select.mean(rows[rows["metric"] == "error"], ["width"]).sort_values("width")
    met = [str(w) for w in error.loc[error["mean"] <= LMC_THRESHOLD, "width"]]
    missed = [str(w) for w in error.loc[~(error["mean"] <= LMC_THRESHOLD), "width"]]
    parts = []
    if met:
        parts.append(f"at or below {LMC_THRESHOLD} at width {_list(met)}")
    if missed:
        parts.append(
            f"above it at width {_list(missed)}"
            if met
            else f"above {LMC_THRESHOLD} at width {_list(missed)}"
        )
    counted = _pairs(rows) if (rows["k"] == 2).all() else _simplices(rows)
    return (
        f"{what}: the training error barrier (mean of {counted} a width) is "
        f"{' and '.join(parts)}; {_fall(rows)}."
    )


def _fall(rows: pd.DataFrame) -> str:
    loss = select.mean(rows[rows["metric"] == "loss"], ["width"]).sort_values("width")
    means, widths = loss["mean"].to_numpy(float), loss["width"].to_numpy(int)
    if len(means) == 1:
        return f"the loss barrier at width {widths[0]} is {number(means[0])}"
    steps = np.diff(means)
    falls = int((steps < 0).sum())
    often = "every" if falls == len(steps) else f"{falls} of {len(steps)}"
    how = f"falls at {often} step{'' if often == 'every' else 's'} of width"
    first, last = number(means[0]), number(means[-1])
    return (
        f"the loss barrier {how}, from {first} at width {widths[0]} to {last} at width "
        f"{widths[-1]}"
    )


def _against_naive(rows: pd.DataFrame, naive: pd.DataFrame) -> list[str]:
    columns = ["width", "seeds", "value"]
    own = rows.loc[rows["metric"] == "loss", columns]
    plain = naive.loc[naive["metric"] == "loss", columns]
    both = own.merge(plain, on=["width", "seeds"], suffixes=("", "_naive"))
    if both.empty:
        return []
    lower = int((both["value"] < both["value_naive"]).sum())
    width = both["width"].max()
    widest = both[both["width"] == width]
    return [
        f"Its loss barrier is below the naive one of the same pair in {lower} of "
        f"{len(both)} cases; at width {width} it is {number(widest['value'].mean())} "
        f"against {number(widest['value_naive'].mean())} (means)."
    ]


def _train(rows: pd.DataFrame) -> pd.DataFrame:
    found = select.barriers(rows)
    return found[found["split"] == "train"]


def _pairs(rows: pd.DataFrame) -> str:
    return _count(rows, "pair")


def _simplices(rows: pd.DataFrame) -> str:
    return _count(rows, "simplex", "simplices")


def _count(rows: pd.DataFrame, one: str, many: str = "") -> str:
    """`15 pairs`, or `13 to 15 pairs` where widths differ."""
    counts = rows.groupby("width")["seeds"].nunique()
    low, high = counts.min(), counts.max()
    amount = f"{high}" if low == high else f"{low} to {high}"
    return f"{amount} {one if high == 1 else many or one + 's'}"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
