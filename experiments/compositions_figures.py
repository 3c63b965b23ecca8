"""Figures of composed alignments, from agreements and training barriers."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style

SECOND = "second run"
"""Of the method on one pair, with another random key."""
LOOKS = {
    "composed": ("#0072b2", "o", "-", "composed"),
    "direct": ("#009e73", "s", "-", "direct, same ends"),
    SECOND: ("#e69f00", "D", "none", "second run on one pair"),
    "cycle": ("#0072b2", "o", "-", "around a cycle"),
    "itself": ("#999999", "v", ":", "itself, randomly permuted"),
    "random": ("#999999", "v", ":", "random permutation"),
    "naive": ("#000000", "x", "--", "naive"),
}
PATHS = (
    "Composed alignments against their number: the last network of a path is aligned to "
    "the one before it, and so on to the first. Top: fraction of units that come to the "
    "place where the direct alignment of the same two networks puts them, over all "
    "layers (thick, with the range over paths) and by layer (thin); diamonds: two runs "
    "of the method on one pair with different random keys; dotted: random permutations "
    "on average. Below: mean training barriers between the first network and the last, "
    "with ranges, beside those of the same two networks aligned directly, naive and "
    "randomly permuted. The axis of barriers is linear up to 0.02 and logarithmic above; "
    "dotted: error barrier 0.02."
)
CYCLES = (
    "The same around cycles: a network is moved along a path that leads back to itself. "
    "Top: fraction of units that come back to their place. Below: mean training barriers "
    "between the network and itself so moved, which are 0 if all come back, and itself "
    "randomly permuted. The cycle of two is two runs of the method on one pair, in both "
    "directions."
)


def kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """Agreements over all units and by layer, and training barriers, by their kind.

    Returns:
      With columns `kind`, a key of `LOOKS`, and `length`, of what is not composed that
      of the paths with the same ends: such rows are there once for each length.
    """
    wanted = rows["quantity"].isin(["agreement", "barrier"])
    wanted &= (rows["quantity"] == "agreement") | (
        (rows["split"] == "train") & (rows["baseline"] == "interpolated")
    )
    found = rows[wanted]
    if "route" not in found or found["route"].isna().all():
        return found.iloc[:0].assign(kind="", length=0)
    composed = found["length"].notna()
    around = pd.Series([_around(x) for x in found["route"]], found.index)
    kind = found["method"].where(found["method"].isin(["naive", "random"]), "direct")
    same = pd.Series([len({*x}) == 1 for x in found["seeds"]], found.index)
    kind = kind.mask(same, "itself").mask(composed, "composed")
    kind = kind.mask(composed & around, "cycle")
    if "draw" in found:
        kind = kind.mask(found["draw"].fillna(0) > 0, SECOND)
    found = found.assign(kind=kind)
    plain = found[~composed].drop(columns="length")
    paths = found[composed][["width", "seeds", "length"]].drop_duplicates()
    ones = found[found["kind"] == SECOND][["width", "seeds"]].drop_duplicates()
    lengths = pd.concat([paths, ones.assign(length=1)])
    beside = plain.merge(lengths, on=["width", "seeds"])
    return pd.concat([found[composed], beside], ignore_index=True)


def _around(route: object) -> bool:
    return isinstance(route, tuple) and route[0] == route[-1]


def paths(rows: pd.DataFrame) -> Figure:
    """Agreement with the direct alignment, and barriers, against the length of paths."""
    shown = ("composed", "direct", SECOND, "random", "naive")
    return _against_length(rows, shown, "agreement with direct")


def cycles(rows: pd.DataFrame) -> Figure:
    """Units that come back, and barriers of a network with itself moved, by length."""
    return _against_length(
        rows, ("cycle", "itself"), "fraction of units that come back"
    )


def _against_length(rows: pd.DataFrame, shown: tuple[str, ...], agreed: str) -> Figure:
    widths = select.few(select.levels(rows))
    rows = rows[rows["kind"].isin(shown)]
    size = (3.7 * len(widths) + 0.6, 8.4)
    figure, axes = style.figure(*size, 3, len(widths), sharex=True, sharey="row")
    for column, width in enumerate(widths):
        part = select.where(rows, width=width)
        top, *below = axes[:, column]
        _agreements(top, select.where(part, quantity="agreement"), shown)
        top.set_ylabel(agreed)
        top.set_title(f"width {width}")
        for one, metric in zip(below, METRICS, strict=True):
            measured = select.where(part, quantity="barrier", metric=metric)
            for kind in shown:
                _ranged(one, select.where(measured, kind=kind), kind)
            every = select.where(rows, quantity="barrier", metric=metric)
            style.barrier_axis(one, metric, every["value"].max())
            one.set_title(f"{metric}, training data")
        below[-1].set_xlabel("alignments composed")
        below[-1].set_xticks(select.levels(part, "length"))
        for one in axes[:, column]:
            one.label_outer()
    style.legend_above(figure, 4 if len(widths) > 1 else 2)
    return figure


def _agreements(axes: Axes, rows: pd.DataFrame, shown: tuple[str, ...]) -> None:
    whole, layers = rows[rows["axis"] == "all"], rows[rows["axis"] != "all"]
    main = shown[0]
    for kind in (main, SECOND):
        _ranged(axes, select.where(whole, kind=kind), kind)
    of = select.where(layers, kind=main)
    names = list(of["axis"].unique())
    for name, colour in zip(names, style.sequential(len(names)), strict=True):
        means = select.mean(select.where(of, axis=name), ["length"])
        options = {"color": colour, "linewidth": 0.9, "zorder": 1.5}
        label = name if len(names) <= 6 else None
        axes.plot(means["length"], means["mean"], label=label, **options)
    chance = select.where(whole, kind=main)["chance"].mean()
    axes.axhline(chance, color=LOOKS["random"][0], linestyle=":", zorder=1)
    axes.set_ylim(-0.03, 1.05)


def _ranged(axes: Axes, rows: pd.DataFrame, kind: str) -> None:
    """Means against the length, and the range from the least to the largest."""
    colour, marker, line, label = LOOKS[kind]
    means = select.mean(rows, ["length"])
    if means.empty:
        return
    ends = [means["mean"] - means["min"], means["max"] - means["mean"]]
    options = {"color": colour, "marker": marker, "linestyle": line, "label": label}
    more = {"elinewidth": 0.8, "capsize": 2.0, "alpha": 0.9, "markersize": 5.0}
    axes.errorbar(
        means["length"].astype(float), means["mean"], yerr=ends, **options, **more
    )
