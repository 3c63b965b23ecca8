"""Tables and sentences on mask transport, from its rows."""

import pandas as pd

from experiments.transport_figures import ARMS, OVERLAPS, arms, overlaps
from linconn_jax.report import Selection, Spread, Table, select
from linconn_jax.report.ends import criterion
from linconn_jax.report.sentences import listed
from linconn_jax.report.style import short
from linconn_jax.report.tables import RANGES, spread

_PLACE = ["width", "rewind_epoch"]
_OTHERS = ("unpermuted", "random", "own")
"""Arms that the permuted mask is compared with."""


def accuracies(rows: Selection) -> list[Table]:
    """Test accuracy of each arm by level, and what is near chance or has diverged."""
    if arms(rows.rows).empty:
        return []
    found, lines = arms(rows.everything), []
    for (*where, level), part in found.groupby([*_PLACE, "level"]):
        own = part[~part["is_left_out"]]
        tested = select.where(own, split="test")
        cells = [spread(select.where(tested, arm=arm), "accuracy") for arm in ARMS]
        near = own[~own["is_judged"].astype(bool)]
        counts = [
            "/".join(str(select.where(x, arm=arm)["seeds"].nunique()) for arm in ARMS)
            for x in (near, part[part["diverged"].map(len) > 0])
        ]
        told = [*map(short, (*where, level)), _percent(part)]
        lines.append((*told, str(own["seeds"].nunique()), *cells, *counts))
    caption = (
        "Test accuracy at the end of training under masks of different origin: mean over "
        f"networks{RANGES}; and how many are near chance (training error "
        f"{criterion(rows.guessing)}) or have diverged, which are in no mean, of "
        f"{'/'.join(ARMS.values())}"
    )
    headers = ("width", "rewind epoch", "level", "removed", "networks", *ARMS.values())
    return [Table(caption, (*headers, "near chance", "diverged"), lines)]


def overlap(rows: Selection) -> list[Table]:
    """Intersection over union of all kernels by level."""
    found, lines = select.where(overlaps(rows.rows), axis="all"), []
    for (*where, level), part in found.groupby([*_PLACE, "level"]):
        cells = [spread(select.where(part, masks_are=x)) for x in OVERLAPS]
        lines.append((*map(short, (*where, level)), _percent(part), *cells))
    caption = (
        f"Intersection over union of the masks of two networks: mean over pairs{RANGES}"
    )
    headers = ("width", "rewind epoch", "level", "removed", *OVERLAPS.values())
    return [Table(caption, headers, lines)] if lines else []


def left(rows: Selection) -> list[Table]:
    """The share of each kernel's weights that is left, at few levels."""
    found, lines = select.where(rows.rows, quantity="density"), []
    levels = select.few(select.levels(found, "level"))
    for where, part in found.groupby(_PLACE):
        for name in part["axis"].unique():
            of = select.where(part, axis=name)
            cells = [spread(select.where(of, level=level)) for level in levels]
            lines.append((*map(short, where), name.removeprefix("params/"), *cells))
    caption = (
        "Share of the weights that pruning leaves of each kernel, own masks: mean over "
        f"networks{RANGES}"
    )
    headers = ("width", "rewind epoch", "kernel", *(f"level {x:.0f}" for x in levels))
    return [Table(caption, headers, lines)] if lines else []


def between(rows: Selection) -> list[str]:
    """Where the permuted mask stands between the others, network by network."""
    found, said = select.where(arms(rows.rows), split="test"), []
    for (width, rewind), part in found.groupby(_PLACE):
        sparse = part[part["level"] > 0]
        each = sparse.pivot_table(
            index=["level", "seeds"], columns="arm", values="accuracy"
        )
        if not {"permuted", *_OTHERS} <= set(each.columns):
            continue
        both = {x: each[["permuted", x]].dropna() for x in _OTHERS}
        won = [_compared(pairs, x) for x, pairs in both.items()]
        last = each.index.get_level_values("level").max()
        ends = select.where(part, level=last)
        at = [
            f"{ARMS[arm]} {_spread(select.where(ends, arm=arm)['accuracy'])}"
            for arm in ARMS
            if (ends["arm"] == arm).any()
        ]
        gains = [
            f"{_spread(pairs['permuted'] - pairs[x])} than {ARMS[x]}"
            for x, pairs in ((x, _at(y, last)) for x, y in both.items())
            if len(pairs)
        ]
        gained = f"; network by network the permuted one is higher by {listed(gains)}"
        said.append(
            f"Width {short(width)}, rewound to epoch {short(rewind)}, networks of all "
            f"levels one by one: the test accuracy under the permuted mask is "
            f"{'; '.join(won)}. At the last level, {short(last)} ({_percent(ends)} "
            f"removed), it is {listed(at)}{gained if gains else ''} (means, with the "
            "range over networks)."
        )
    return said


def _compared(pairs: pd.DataFrame, other: str) -> str:
    """How often the permuted mask does better, as well, and worse than another."""
    gain = pairs["permuted"] - pairs[other]
    return (
        f"higher than {ARMS[other]} in {(gain > 0).sum()}, equal in "
        f"{(gain == 0).sum()} and lower in {(gain < 0).sum()} of {len(gain)}"
    )


def _at(pairs: pd.DataFrame, level: float) -> pd.DataFrame:
    return pairs[pairs.index.get_level_values("level") == level]


def _spread(values: pd.Series) -> str:
    found = Spread(values.mean(), values.min(), values.max(), len(values))
    return str(found).replace("..", " to ")


def _percent(rows: pd.DataFrame) -> str:
    return f"{100 * rows['sparsity'].max():.3g} %"
