"""Lines of barriers along a sequence, one for each permutation, from located rows."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.one_permutation_rows import (
    ALONE,
    ANEW,
    JOINT,
    NAIVE,
    RANDOM,
    SINGLE,
    Line,
    chosen,
    lines,
)
from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style
from linconn_jax.study.sequences import SequenceKind

_LEGEND = 5
"""Entries in a line of a legend above a figure."""


def caption(kind: SequenceKind, found: pd.DataFrame) -> str:
    """Of `along`."""
    t, name = kind.symbol, kind.chosen_name
    there = {(line.source, line.again) for line in lines(kind, found)}
    more = {
        (RANDOM, False): "triangles: a random permutation",
        (
            JOINT,
            False,
        ): f"green: fitted to networks of more than one {kind.noun} at once",
    }
    said = "".join(f"; {told}" for what, told in more.items() if what in there)
    again = (
        "Plus signs and dotted lines: the same found again with another random key, so "
        "what lies between the two is chance. "
    )
    single = sum(_is_single(line) for line in lines(kind, found))
    colour = ", in its colour of the scale" if single > SINGLE else ""
    return (
        f"Mean training barrier between two networks at {kind.noun} {t}′ when the second "
        f"is permuted by P_{t}, found at {kind.noun} {t}: a line for each {t}{colour}; "
        f"thick: {name}, found {kind.chosen_where}. Diamonds: found "
        f"anew at each {t}′; dashed: naive{said}. "
        f"{again if any(x for _, x in there) else ''}The vertical axis is linear up to "
        "0.02 and logarithmic above; dotted: error barrier 0.02."
    )


def along(kind: SequenceKind, rows: pd.DataFrame) -> Figure:
    """Barrier at every place t' of the P found at place t; a line for each t."""
    widths = select.levels(rows)
    figure, axes = style.figure(9.6, 3.7 * len(widths), len(widths), 2)
    for i, width in enumerate(widths):
        here = select.where(rows, width=width)
        for j, metric in enumerate(METRICS):
            part = select.where(here, metric=metric)
            largest = sequences(axes[i, j], kind, part)
            style.barrier_axis(axes[i, j], metric, largest)
            kind.axis(axes[i, j], part["place"])
            label = f"{kind.noun} {kind.symbol}′ of the interpolated networks"
            axes[i, j].set_xlabel(label)
            axes[i, j].set_title(f"width {width}, {metric}, training data")
        single = [x.at for x in lines(kind, here) if _is_single(x)]
        if len(single) > SINGLE:
            label = f"{kind.noun} {kind.symbol} at which P was found"
            style.level_bar(figure, axes[i, 1], single, label)
    names = {x.get_label() for x in axes[0, 0].get_lines() if x.get_label()[0] != "_"}
    style.legend_above(figure, _LEGEND if len(names) > _LEGEND else None)
    return figure


def sequences(
    axes: Axes, kind: SequenceKind, rows: pd.DataFrame, *, few: bool = False
) -> float:
    """Lines of the mean barrier over t': for each t, anew, joint, random, naive.

    Args:
      axes: to draw on.
      kind: of sequence.
      rows: barriers of one width and metric.
      few: only some t, each named, and no second draws.

    Returns:
      The largest mean of all.
    """
    found = lines(kind, rows)
    single = [line for line in found if _is_single(line)]
    named = few or len(single) <= SINGLE
    shown = {single[i * (len(single) - 1) // 4].at for i in range(5)} if single else ()
    own = chosen(kind, rows)
    colours = dict(
        zip([x.at for x in single], style.sequential(len(single)), strict=True)
    )
    joint = [line for line in found if line.source == JOINT and not line.again]
    for line in sorted(found, key=lambda x: x.source == NAIVE):  # that one last
        if few and (line.again or (_is_single(line) and line.at not in shown)):
            continue
        if line.source == ALONE:
            options = _single(line, colours, own, kind, named=named, few=few)
        elif line.source == JOINT:
            options = _joint(line, [x.at for x in joint])
        else:
            options = _OTHERS[line.source, line.again]
            label = options["label"].format(t=kind.symbol)
            options = options | {"label": label}
        axes.plot(line.means["place"], line.means["mean"], **options)
    return max((line.means["mean"].max() for line in found), default=0.0)


def _is_single(line: Line) -> bool:
    return line.source == ALONE and not line.again


def _single(
    line: Line,
    colours: dict,
    own: float,
    kind: SequenceKind,
    *,
    named: bool,
    few: bool,
) -> dict:
    """How the line of a permutation found at one place is drawn."""
    is_own = line.at == own
    name = f" ({kind.chosen_name})" if is_own else ""
    where = f"{line.at:.3g}" if few else f"{kind.noun} {line.at:.3g}"
    label = f"{where}{name}" if named else kind.chosen_name if is_own else None
    colour = colours.get(line.at, "black")
    if line.again:
        label = f"{kind.chosen_name}, again"
        return {"color": colour, "linestyle": ":", "linewidth": 1.6, "label": label}
    width = 2.4 if is_own else 1.3
    return {"color": colour, "marker": ".", "linewidth": width, "label": label}


def _joint(line: Line, several: list[tuple]) -> dict:
    """How the line of a permutation found at several places is drawn."""
    look = style.look(line.rows["method"].iloc[0])
    place = several.index(line.at) if line.at in several else 0
    share = (len(several) - 1 - place) / max(1, len(several) - 1)
    colour = style.lighter(look.colour, 0.65 * share)
    if line.again:
        return {"color": colour, "linestyle": ":", "linewidth": 1.3}
    marker = (look.marker, *"v^sp")[place % 5]
    label = line.name if line.name.startswith("all") else f"{len(line.at)} at once"
    return {"color": colour, "marker": marker, "markersize": 5.0, "label": label}


_OTHERS = {
    (ANEW, False): {
        "color": "black",
        "marker": "D",
        "markersize": 4.0,
        "markerfacecolor": "none",
        "linestyle": "none",
        "zorder": 3.0,
        "label": "anew at {t} = {t}′",
    },
    (ANEW, True): {
        "color": "black",
        "marker": "+",
        "markersize": 6.0,
        "linestyle": "none",
        "zorder": 3.0,
        "label": "anew, again",
    },
    (RANDOM, False): {
        "color": style.look(RANDOM).colour,
        "marker": style.look(RANDOM).marker,
        "linewidth": 1.2,
        "zorder": 1.4,
        "label": style.look(RANDOM).label,
    },
    (NAIVE, False): {
        "color": "black",
        "linestyle": "--",
        "marker": "x",
        "linewidth": 1.5,
        "zorder": 1.5,
        "label": "naive",
    },
}
