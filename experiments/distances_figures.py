"""Figures of distances: against width, layer by layer, and along training."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconn_jax.report import lines, select, style

METRICS = ("normalised", "cosine", "l2")
RUNS = {"naive": "two runs, naive", "P_T": "two runs, P_T", "anew": "two runs, anew"}
OWN = {"start": "from own start", "end": "to own end"}
_LABELS = {
    "normalised": "normalised squared distance",
    "cosine": "cosine",
    "l2": "L2 distance",
}
WIDTH = (
    "Distances over all trained parameters between two networks at the end of training, "
    "against width. Full lines: the second network as it is (naive), permuted at random "
    "or aligned to the first. Dotted: in its place a random direction, each leaf as long "
    "as that of the second network, aligned alike: what aligning brings of vectors that "
    "have nothing in common. Lines are means, dots single pairs. Grey: 2, or cosine 0, "
    "of uncorrelated networks."
)
LAYERS = (
    "Normalised squared distance at the end of training of each layer (kernel and bias "
    "together) in the order in which the network uses them: means over pairs. Dotted: a "
    "random direction in the second network's place."
)
TRAINING = (
    "Normalised squared distance over all trained parameters along training: left of two "
    "runs at epoch t, as they are, permuted by P_T, found at the end, and by a "
    "permutation found anew at t (at epoch 0, of independent initialisations, it brings "
    "what it brings of networks that have nothing in common); right of a network at "
    "epoch t from its own start and to its own end. Thick lines are means, thin ones "
    "single pairs or networks."
)

Kind = tuple[str, str | None, str]


def distances(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of distances with the epochs of both networks, and whether they are a pair."""
    found = rows[rows["quantity"] == "distance"]
    epochs = [x if isinstance(x, tuple) else (x,) for x in found["epoch"]]
    return found.assign(
        since=[min(x) for x in epochs],
        until=[max(x) for x in epochs],
        is_pair=pd.Series(
            [len({*seeds}) > 1 for seeds in found["seeds"]], found.index, dtype=bool
        ),
    )


def at_end(rows: pd.DataFrame) -> pd.DataFrame:
    """Distances of pairs at the end of training, of permutations found there."""
    found = distances(rows)
    last = found.groupby("width")["until"].transform("max")
    is_own = found["fit_epoch"].isna() | (found["fit_epoch"] == last)
    return found[found["is_pair"] & (found["since"] == last) & is_own]


def along(rows: pd.DataFrame) -> pd.DataFrame:
    """Distances along training, where some network was followed."""
    found = distances(rows)
    found = found[found["control"].isna()]
    last = found.groupby("width")["until"].transform("max")
    earlier = found[found["is_pair"] & (found["since"] < last)]
    pairs = {*zip(earlier["width"], earlier["seeds"], strict=True)}
    each = zip(found["width"], found["seeds"], strict=True)
    followed = pd.Series([one in pairs for one in each], found.index, dtype=bool)
    followed &= found["method"].isin({"naive", *earlier["method"]})
    return found[followed | ~found["is_pair"]]


def line(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of `along` of one line, with `at`, the epoch that they are drawn at."""
    pairs, own = rows[rows["is_pair"]], rows[~rows["is_pair"]]
    last = rows["until"].max()
    parts = {
        "naive": (pairs[pairs["method"] == "naive"], "until"),
        "P_T": (pairs[pairs["fit_epoch"] == last], "until"),
        "anew": (pairs[pairs["fit_epoch"] == pairs["until"]], "until"),
        "start": (own[own["since"] == rows["since"].min()], "until"),
        "end": (own[own["until"] == last], "since"),
    }
    part, column = parts[name]
    return part.assign(at=part[column])


def kinds(rows: pd.DataFrame) -> list[tuple[Kind, pd.DataFrame]]:
    """Rows by what stands in the second network's place: (method, control, its name)."""
    found = []
    for control in (None, *select.levels(rows, "control")):
        of = rows["control"].isna() if control is None else rows["control"] == control
        for method in select.methods(rows[of]):
            label = style.look(method).label
            name = f"{control}, {label}" if control else label
            found.append(
                ((method, control, name), select.where(rows[of], method=method))
            )
    return found


def layers(rows: pd.DataFrame) -> dict[str, str]:
    """The layers in the order of the rows, with short names: what holds leaves."""
    axes = [*rows["axis"].drop_duplicates()]
    above = {axis.rpartition("/")[0] for axis in axes}
    found = [x for x in axes if x in above or not {x.rpartition("/")[0]} & {*axes}]
    found = [x for x in found if x != "all"]
    tops = {x.split("/")[0] for x in found if "/" in x}
    one = len(tops) == 1 and all("/" in x for x in found)
    return {x: x.split("/", 1)[1] if one else x for x in found}


def _options(control: Any) -> dict[str, Any]:
    return {"linestyle": ":", "lightness": 0.35, "dots": False} if control else {}


def against_width(rows: pd.DataFrame) -> Figure:
    """Each metric against width; a line for each method, dotted for the control."""
    figure, axes = style.figure(11.0, 3.8, 1, 3)
    for axis, metric in zip(axes[0], METRICS, strict=True):
        part = select.where(rows, axis="all", metric=metric)
        for (method, control, name), own in kinds(part):
            lines.against(axis, own, method, label=name, **_options(control))
        style.level_axis(axis, select.levels(rows))
        axis.set_ylabel(_LABELS[metric])
        if metric == "l2":
            axis.set_ylim(bottom=0.0)
        else:
            axis.axhline(2.0 * (metric == "normalised"), color="#bbbbbb", zorder=0.5)
    style.legend_above(figure, 4)
    return figure


def by_layer(rows: pd.DataFrame) -> Figure:
    """The normalised distance of each layer at a few widths."""
    rows, widths = (
        select.where(rows, metric="normalised"),
        select.few(select.levels(rows)),
    )
    names = layers(rows)
    size = (max(3.4, 0.28 * len(names) + 1.0) * len(widths), 3.9)
    figure, axes = style.figure(*size, 1, len(widths), sharey=True)
    for axis, width in zip(axes[0], widths, strict=True):
        for (method, control, name), part in kinds(select.where(rows, width=width)):
            look = style.look(method)
            means = select.mean(part, ["axis"]).set_index("axis")["mean"]
            axis.plot(
                range(len(names)),
                means.reindex([*names]),
                color=style.lighter(look.colour, 0.35 if control else 0.0),
                linestyle=":" if control else "-",
                marker=look.marker,
                label=name,
            )
        axis.axhline(2.0, color="#bbbbbb", zorder=0.5)
        axis.set_xticks(range(len(names)), [*names.values()], rotation=60, ha="right")
        axis.set_title(f"width {style.short(width)}")
        axis.set_ylim(bottom=0.0)
    axes[0, 0].set_ylabel(_LABELS["normalised"])
    style.legend_above(figure, 4)
    return figure


_LINES = {"naive": "#000000", "P_T": "#0072b2", "anew": "#56b4e9"}
_LINES |= {"start": "#009e73", "end": "#d55e00"}


def in_training(rows: pd.DataFrame) -> Figure:
    """Of two runs, and of a network from its own start and to its end, against t."""
    rows = select.where(rows, axis="all", metric="normalised")
    widths = select.levels(rows)
    figure, axes = style.figure(9.6, 3.6 * len(widths), len(widths), 2, sharey=True)
    for two, width in zip(axes, widths, strict=True):
        of = select.where(rows, width=width)
        for axis, names, title in (
            (two[0], RUNS, "two runs"),
            (two[1], OWN, "one network and itself"),
        ):
            _over_epochs(axis, of, names)
            style.epoch_axis(axis, of["until"])
            axis.set_xlabel("epoch t")
            axis.set_ylim(bottom=0.0)
            axis.axhline(2.0, color="#bbbbbb", zorder=0.5)
            axis.set_title(f"width {style.short(width)}: {title}")
        two[0].set_ylabel(_LABELS["normalised"])
    style.legend_above(figure)
    return figure


def _over_epochs(axes: Axes, rows: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        part, colour = line(rows, name), _LINES[name]
        for _, one in part.sort_values("at").groupby("seeds"):
            axes.plot(one["at"], one["value"], color=colour, linewidth=0.7, alpha=0.3)
        means = select.mean(part, ["at"]).sort_values("at")
        label = {**RUNS, **OWN}[name]
        axes.plot(means["at"], means["mean"], color=colour, marker=".", label=label)
