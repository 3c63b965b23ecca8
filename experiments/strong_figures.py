"""Figures of strong connectivity, from the barriers and values of `strong` alone."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconn_jax.metrics import METRICS
from linconn_jax.report import lines, select, style

_THIRD = {"linestyle": "--", "marker": "^", "lightness": 0.25}
_SIMPLICES = (
    {"linestyle": ":", "marker": "D", "lightness": 0.2},
    {"linestyle": "-.", "marker": "P", "lightness": 0.4},
)
_WAYS = {
    "": {},
    "aligned to each other": {},
    "through a reference": {"linestyle": "--", "markerfacecolor": "white"},
    "all at once": {"linewidth": 2.6, "markersize": 9},
}
"""How what is aligned in some way is drawn; naive is in none."""


def kinds(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Pairs, pairs through a third network, and simplices by their number of networks.

    Pairs out of an alignment of all networks at once are a kind of their own.
    """
    pair, path = rows["k"] == 2, rows["path"]
    third, joint = path == "through", path == "joint"
    found = {
        "pair": rows[pair & ~third & ~joint],
        "pair, through a third network": rows[pair & third],
        "pair, of all aligned at once": rows[pair & joint],
    }
    for k in (int(k) for k in select.levels(rows, "k") if k > 2):
        found[f"simplex of {k} networks"] = rows[rows["k"] == k]
    return {kind: part for kind, part in found.items() if len(part)}


def ways(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of one method and number of networks by how these are aligned."""
    if not select.methods(rows, aligning=True):
        return {"": rows}
    pair, path = rows["k"] == 2, rows["path"]
    third = (path == "through") | (~pair & (path == "direct"))
    found = {
        "aligned to each other": rows[pair & (path == "direct")],
        "through a reference": rows[third],
        "all at once": rows[path == "joint"],
    }
    return {way: part for way, part in found.items() if len(part)}


def against_width(rows: pd.DataFrame) -> Figure:
    """Training barriers against width; a column for each number of networks."""
    sizes = [int(k) for k in select.levels(rows, "k")]
    size = (4.6 * len(sizes) + 0.6, 7.2)
    figure, axes = style.figure(*size, 2, len(sizes), sharey="row")
    for i, metric in enumerate(METRICS):
        part = select.where(rows, metric=metric)
        for j, k in enumerate(sizes):
            _lines(axes[i, j], select.where(part, k=k))
            style.level_axis(axes[i, j], select.levels(rows))
            style.barrier_axis(axes[i, j], metric, part["value"].max())
            what = "pairs" if k == 2 else f"simplices of {k} networks"
            axes[i, j].set_title(f"{what}: {metric}, training data")
            axes[i, j].label_outer()
    style.legend_above(figure, min(3, len(sizes) + 1))
    return figure


def _lines(axes: Axes, rows: pd.DataFrame) -> None:
    """A line for each method and each way in which it aligns, naive first."""
    for method in select.methods(rows):
        label = style.look(method).label
        for way, part in ways(select.where(rows, method=method)).items():
            told = f"{label}, {way}" if way else label
            lines.against(axes, part, method, label=told, **_WAYS[way])


def overview(axes: Axes, rows: pd.DataFrame) -> None:
    """Lines over width: naive pairs, and by the first method of each sort its kinds.

    Of simplices these are the smallest and the largest. Of two methods, one of two
    networks and one that takes all at once: of the second its simplices alone.
    """
    naive = select.where(rows, method="naive")
    known = select.methods(rows, aligning=True)
    joint = [x for x in known if (rows[rows["method"] == x]["path"] == "joint").all()]
    first = [x for x in known if x not in joint][:1]
    plain = kinds(naive).get("pair", rows.iloc[:0])
    simplices = [kind for kind in kinds(rows) if kind.startswith("simplex")]
    between = {*simplices[1:-1]}
    simplices = [kind for kind in simplices if kind not in between]
    looks = dict(zip(simplices, _SIMPLICES, strict=False))
    looks["pair, through a third network"] = _THIRD
    lines.against(axes, plain, "naive", label="pair, naive", dots=False)
    for method in first + joint[:1]:
        own = kinds(select.where(rows, method=method))
        own = {kind: part for kind, part in own.items() if kind not in between}
        if first and method in joint:
            own = {kind: part for kind, part in own.items() if kind in simplices}
        label = style.look(method).label
        for kind, part in own.items():
            said = f"{kind}, {label}"
            options = looks.get(kind, {})
            lines.against(axes, part, method, label=said, dots=False, **options)


def first_three(rows: pd.DataFrame) -> pd.DataFrame:
    """Training loss of the first three networks, at a middle and the largest width."""
    found = select.where(rows, k=3, split="train", metric="loss")
    if found.empty:
        return found
    widths = select.few(select.levels(found))[-2:]
    first = found["seeds"] == min(found["seeds"])
    return found[first & found["width"].isin(widths)]
