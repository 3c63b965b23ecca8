"""What is said of mixed permutations, from the lines of `layers_figures`."""

import pandas as pd

from linconn_jax.report import select
from linconn_jax.report.sentences import count
from linconn_jax.report.style import number


def _put_in(rows: pd.DataFrame, control: str = "") -> pd.DataFrame:
    """Mean barriers with one layer of another permutation: [epochs, layers]."""
    part = select.where(rows, curve="put_in", control=control)
    part = part[part["place"].between(0, len(rows))]
    means = select.mean(part, ["t", "place", "named"]).sort_values("place")
    return means.pivot(index="t", columns=["place", "named"], values="mean")


def costs(rows: pd.DataFrame, width: int) -> list[str]:
    """What one early layer does, beside one of a second run and a random one."""
    put = _put_in(rows)
    if len(put) < 2:
        return []
    first, plain = put.index[0], put.iloc[-1].mean()
    said = f"{_range(put.loc[first])} with one layer from epoch {first:.3g}"
    others = {"again": "a second run of the method", "random": "a random permutation"}
    for control, words in others.items():
        found = _put_in(rows, control)
        said += "" if found.empty else f", {_range(found.iloc[0])} with one of {words}"
    most = put.loc[first].idxmax()[1].removeprefix("only ")
    return [
        f"Width {width}: the mean training loss barrier of {count(rows, 'pair')} at the "
        f"end is {number(plain)} by P_T, and {said}; of the layers from epoch "
        f"{first:.3g} {most} costs most."
    ]


def settled(rows: pd.DataFrame, width: int) -> list[str]:
    """From which epoch on a layer costs no more than one of second runs.

    What a layer costs is the barrier with it in P_T less that of P_T, of each pair.
    """
    costs = _paid(rows)
    again = costs[costs["control"] == "again"]
    early = costs[costs["control"] == ""]
    if again.empty or early.empty:
        return []
    said = []
    for (_, name), own in early.groupby(["place", "named"]):
        second = select.where(again, named=name)["value"]
        means = select.mean(own, ["t"]).set_index("t")["mean"].sort_index()
        since = [_since(means <= top) for top in (second.mean(), second.max())]
        said.append(f"{name.removeprefix('only ')} {since[0]} ({since[1]})")
    runs = again[["seeds", "draw"]].drop_duplicates()
    low, high = (number(x) for x in (again["value"].min(), again["value"].max()))
    return [
        f"Width {width}: what a layer of P_t costs in P_T, on average over pairs, is at "
        "most the mean cost of one of a second run at the end (in brackets: at most the "
        f"largest): {'; '.join(said)}. There are {len(runs)} second runs, of "
        f"{count(again, 'pair')}; their layers cost {low} to {high}."
    ]


def _paid(rows: pd.DataFrame) -> pd.DataFrame:
    """What one layer of another permutation costs each pair, before the end."""
    put = select.where(rows, curve="put_in")
    last = put["t"].max()
    put = put[put["place"].between(0, len(rows))]
    plain = put[(put["t"] == last) & (put["control"] == "")]
    plain = plain.groupby("seeds")["value"].first()
    others = put[~((put["t"] == last) & (put["control"] == ""))]
    costs = others["value"] - others["seeds"].map(plain).astype(float)
    draws = others.get("part_draw", pd.Series(0, others.index)).fillna(0)
    return others.assign(value=costs, draw=draws).dropna(subset="value")


def _since(low: pd.Series) -> str:
    """From which epoch on it holds to the end."""
    kept = low.index[low[::-1].cummin()[::-1]]
    return f"from epoch {kept[0]:.3g} on" if len(kept) else "at no epoch"


def _range(values: pd.Series) -> str:
    low, high = number(values.min()), number(values.max())
    return low if low == high else f"{low} to {high}"
