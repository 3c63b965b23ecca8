"""Figures and table of mixed permutations, from training barriers and agreements."""

from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconn_jax.metrics import METRICS
from linconn_jax.report import Table, select, style
from linconn_jax.report.sentences import count
from linconn_jax.report.tables import AT_ENDS, RANGES, spread

TITLES = {
    "put_in": "put in: one layer from P_t",
    "leave_out": "leave out: all but one from P_t",
    "bottom_up": "bottom up: the first from P_t",
    "top_down": "top down: the last from P_t",
}
NAMED = {
    "put_in": "only {}",
    "leave_out": "all but {}",
    "bottom_up": "up to {}",
    "top_down": "from {} on",
}
CONTROLS = {"again": "second run", "random": "random"}
ALL = "all layers"
MIXTURES = (
    "Mean training barrier at the end of training when the second network is permuted "
    "by a mixture of P_t, found at epoch t, and P_T, found at the end: a line for each "
    "layer, pale near the inputs, dark near the outputs (bottom up: the last layer from "
    "P_t, top down: the first). Black: all layers from P_t; at the last epoch all are "
    "from P_T. Dashed: naive. On the right the same mixtures of P_T with a second run of "
    "the method on the same networks, and with a random permutation. The vertical axis "
    "is linear up to 0.02 and logarithmic above; dotted: error barrier 0.02."
)
AGREEMENT = (
    "Fraction of units that P_t and P_T put in the same place, by layer and over all "
    "units; on the right of a second run of the method at the end and P_T. Two unrelated "
    "permutations of n units agree on 1/n of them on average."
)


def lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Training barriers by the line of a panel to which they belong.

    A row that belongs to several is there several times, as P_T is in every line.

    Returns:
      With columns `curve` and `place`, of the layer in the order of depth (-1: naive,
      infinite: all layers); `named`, what is not from P_T; `control`, empty of P_t, and
      `t`, its epoch. Empty where nothing is mixed.
    """
    found = select.barriers(rows, split="train") if len(rows) else rows
    if "part" not in found or found["part"].isna().all():
        return pd.DataFrame(columns=[*rows.columns, "curve", "place", "named"])
    parts = []
    for _, one in found.groupby("width"):
        mixed = one["groups"].dropna()
        if mixed.empty:  # what tells the layers is not computed yet
            continue
        groups = mixed.iloc[0]
        told = _sources(one, groups)
        last = told[(told["control"] == "") & (told["t"] == told["t"].max())]
        last = last[last["early"] == frozenset(groups)]
        for curve, place, early in _mixtures(groups):
            same = told[told["early"] == early]
            if same.empty or len(early) == len(groups):
                continue
            name = NAMED[curve].format(groups[place])
            same = pd.concat([same, last])
            parts.append(same.assign(curve=curve, place=place, named=name))
        whole = told[told["early"] == frozenset(groups)]
        naive = one[one["method"] == "naive"].assign(control="", t=float("nan"))
        for curve in {part["curve"].iloc[0] for part in parts}:
            parts.append(whole.assign(curve=curve, place=float("inf"), named=ALL))
            parts.append(naive.assign(curve=curve, place=-1.0, named="naive"))
    return pd.concat(parts, ignore_index=True).drop(columns="early")


def _mixtures(groups: tuple[str, ...]) -> Iterator[tuple[str, int, frozenset[str]]]:
    """Curve, place and the names that are not from P_T, of every line that is mixed."""
    for place in range(len(groups)):
        rest = {*groups} - {groups[place]}
        yield "put_in", place, frozenset(groups[place : place + 1])
        yield "leave_out", place, frozenset(rest)
        yield "bottom_up", place, frozenset(groups[: place + 1])
        yield "top_down", place, frozenset(groups[place:])


def _sources(rows: pd.DataFrame, groups: tuple[str, ...]) -> pd.DataFrame:
    """Aligned rows with the names that are `early`, and `control` and epoch of them."""
    rows = rows[rows["method"] != "naive"]
    mixed = rows["part"].notna()
    nothing = pd.Series(float("nan"), rows.index)
    draw = rows.get("part_draw", nothing).where(mixed, rows.get("draw", nothing))
    method = rows["part_method"].where(mixed, rows["method"])
    control = pd.Series("", rows.index).mask(draw.fillna(0) > 0, "again")
    parts = [
        part if is_ else groups for part, is_ in zip(rows["part"], mixed, strict=True)
    ]
    early = [frozenset(part) & frozenset(groups) for part in parts]
    return rows.assign(
        control=control.mask(method == "random", "random"),
        t=rows["part_epoch"].where(mixed, rows["fit_epoch"]).astype(float),
        early=pd.Series(early, rows.index, dtype=object),
    )


def table(rows: pd.DataFrame, width: int) -> Table:
    """A line for each mixture; cells of epochs, of the second run, of a random one."""
    rows = select.where(rows, metric="loss")
    rows = rows[rows["place"] >= 0]
    last = rows["t"].max()
    epochs = [x for x in select.levels(rows, "t") if x != last]
    columns = {f"t = {x:.3g}": ("", x) for x in select.few(epochs)}
    columns |= {"second run": ("again", last), "random": ("random", last)}
    columns |= {"P_T": ("", last)}
    lines, done = [], set()
    for curve, title in TITLES.items():
        of = select.where(rows, curve=curve).sort_values("place", kind="stable")
        for name in [x for x in of["named"].unique() if x not in done]:
            part = select.where(of, named=name)
            cells = [
                spread(select.where(part, control=control, t=t))
                for control, t in columns.values()
            ]
            lines.append((title.partition(":")[0], name, *cells, spread(part, "ends")))
            done |= {name} & {ALL}  # once
    caption = (
        "Training loss barriers (nats, interpolated baseline) at the end of training, "
        f"width {width}, by permutations of which some layers are of P_t (or of a second "
        "run of the method, or random) and all others of P_T; "
        f"{AT_ENDS}: the networks' own loss. Means of {count(rows, 'pair')}{RANGES}"
    )
    return Table(caption, ("mixture", "not of P_T", *columns, AT_ENDS), lines)


def mixtures(rows: pd.DataFrame) -> Figure:
    """Barriers against the epoch of P_t: a panel for each curve, metric and width."""
    widths, curves = select.levels(rows), [x for x in TITLES if x in set(rows["curve"])]
    size = (3.7 * len(curves) + 1.6, 6.2 * len(widths))
    figure, axes = style.figure(*size, 2 * len(widths), len(curves), sharey="row")
    for i, (width, metric) in enumerate((w, m) for w in widths for m in METRICS):
        part = select.where(rows, width=width, metric=metric)
        for j, curve in enumerate(curves):
            _panel(axes[i, j], select.where(part, curve=curve))
            style.barrier_axis(axes[i, j], metric, select.mean(part, _BY)["mean"].max())
            _epochs(axes[i, j], part)
            axes[i, j].set_title(f"{TITLES[curve]}\nwidth {width}, {metric}")
            axes[i, j].label_outer()
        if metric == METRICS[0]:
            _names(axes[i, -1], part["groups"].dropna().iloc[0])
    return figure


_BY = ["curve", "place", "control", "t"]


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    means = select.mean(rows, _BY).sort_values("t")
    end = means["t"].max()
    groups = rows["groups"].dropna().iloc[0]
    colours = dict(enumerate(style.sequential(len(groups))))
    for place, line in means.groupby("place"):
        if place < 0:
            axes.axhline(
                line["mean"].iloc[0], color="black", linestyle="--", zorder=1.5
            )
            continue
        whole = place == float("inf")
        colour = "black" if whole else colours[int(place)]
        early = line[line["control"] == ""]
        options = {"color": colour, "marker": ".", "linewidth": 2.0 if whole else 1.3}
        axes.plot(early["t"], early["mean"], **options)
        for control, x in _beyond(end).items():
            there = line[line["control"] == control]
            axes.plot(
                [x] * len(there), there["mean"], color=colour, marker="D", markersize=4
            )


def _beyond(end: float) -> dict[str, float]:
    """Where on the axis of epochs the controls stand."""
    return {control: end * 1.7 ** (n + 1) for n, control in enumerate(CONTROLS)}


def _epochs(axes: Axes, rows: pd.DataFrame) -> None:
    """The axis of epochs, and after a line the controls that there are."""
    epochs = rows["t"].dropna()
    style.epoch_axis(axes, epochs)
    there = {*rows["control"]}
    beyond = {x: CONTROLS[c] for c, x in _beyond(epochs.max()).items() if c in there}
    axes.set_xlabel("epoch t at which P_t was found")
    if beyond:
        labels = [label.get_text() for label in axes.get_xticklabels()]
        axes.set_xticks([*axes.get_xticks(), *beyond], [*labels, *beyond.values()])
        for label in axes.get_xticklabels()[-len(beyond) :]:
            label.set_rotation(90)
        axes.axvline(epochs.max() * 1.3, color="#bbbbbb", linewidth=0.8)
        axes.set_xlim(right=max(beyond) * 1.3)


def _names(axes: Axes, groups: tuple[str, ...]) -> None:
    """The layers' colours, beside a row of panels."""
    colours = style.sequential(len(groups))
    step = -(-len(groups) // 14)  # as many as can be read
    shown = dict(zip(groups[::step], colours[::step], strict=True))
    for name, colour in {**shown, ALL: "black"}.items():
        axes.plot([], [], color=colour, marker=".", label=name)
    axes.plot([], [], "k--", label="naive")
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), title="layer")


def agreement(rows: pd.DataFrame, groups: Mapping[int, tuple[str, ...]]) -> Figure:
    """Fraction of units on which P_t and P_T agree, against t, for each layer and all.

    Args:
      rows: agreements with P_T.
      groups: of each width, the layers in the order of depth.
    """
    widths = select.levels(rows)
    figure, axes = style.figure(5.2 * len(widths) + 1.4, 3.8, 1, len(widths))
    for one, width in zip(axes[0], widths, strict=True):
        part = select.where(rows, width=width)
        draws = part.get("draw", pd.Series(0, part.index))
        again = draws.fillna(0) > 0
        part = part.assign(control=again.map({True: "again", False: ""}))
        part = part.assign(t=part["fit_epoch"].astype(float))
        inside = [x for x in part["axis"].unique() if x not in (*groups[width], "all")]
        names = [*groups[width], *inside]
        colours = dict(zip(names, style.sequential(len(names)), strict=True))
        means = select.mean(part, ["axis", "control", "t"]).sort_values("t")
        for name in [*names, "all"]:
            line = means[means["axis"] == name]
            colour = colours.get(name, "black")
            early = line[line["control"] == ""]
            options = {"color": colour, "linewidth": 1.3 if name in colours else 2.4}
            one.plot(early["t"], early["mean"], marker=".", label=name, **options)
            x = _beyond(means["t"].max())["again"]
            there = line[line["control"] == "again"]
            one.plot([x] * len(there), there["mean"], color=colour, marker="D")
        _epochs(one, part)
        one.set_ylim(-0.03, 1.05)
        one.set_title(f"width {width}")
        one.set_ylabel("fraction of units as in P_T")
    if len(names) <= 14:
        axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), title="layer")
    return figure
