"""Figures of mask transport: accuracy and overlap against sparsity."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconn_jax.report import select, style

ARMS = {
    "own": "own mask",
    "permuted": "permuted mask",
    "unpermuted": "unpermuted mask",
    "random": "random mask",
    "dense": "dense",
}
"""Origins of masks, as they are called in tables and figures."""
OVERLAPS = {"naive": "as they are", "permuted": "permuted", "chance": "by chance"}
_LOOKS = {
    "own": ("#000000", "o", "-"),
    "permuted": ("#0072b2", "s", "-"),
    "unpermuted": ("#d55e00", "^", "-"),
    "random": ("#999999", "v", "-"),
    "naive": ("#d55e00", "^", "-"),
    "chance": ("#999999", "v", ":"),
}


def arms(rows: pd.DataFrame) -> pd.DataFrame:
    """Errors of networks by themselves; columns `arm`, `accuracy`; dense at each rewind.

    The dense networks are those of level 0 of every sequence.
    """
    found = select.where(rows, quantity="value", metric="error", k=1)
    dense = found["level"].isna()
    arm = found["mask"].where(found["mask"].notna(), "own").where(~dense, "dense")
    found = found.assign(arm=arm, accuracy=1 - found["value"])
    rewinds = select.levels(found, "rewind_epoch")
    plain = [
        found[dense].assign(rewind_epoch=x, level=0, sparsity=0.0) for x in rewinds
    ]
    return pd.concat([*plain, found[~dense]]) if rewinds else found[:0]


def overlaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Overlaps, with a column `masks_are` among `OVERLAPS`."""
    found = rows[rows["quantity"].isin(["overlap", "overlap by chance"])]
    moved = found["method"] != "naive"
    chance = found["quantity"] == "overlap by chance"
    found = found[~(chance & moved)]  # it is the same for the permuted mask
    are = pd.Series("naive", found.index)
    are = are.mask(moved, "permuted").mask(chance, "chance")
    return found.assign(masks_are=are)


def accuracy(rows: pd.DataFrame) -> Figure:
    """Test and training accuracy against sparsity, a line for each arm."""
    places = _places(rows)
    figure, axes = style.figure(10.0, 3.9 * len(places), len(places), 2, sharex=True)
    for i, (title, part) in enumerate(places.items()):
        for j, split in enumerate(("test", "train")):
            of = select.where(part, split=split)
            for arm in ("own", "permuted", "unpermuted", "random"):
                _line(axes[i, j], select.where(of, arm=arm), "accuracy", arm, ARMS[arm])
            dense = select.where(of, arm="dense")["accuracy"].mean()
            axes[i, j].axhline(dense, color="black", linestyle="--", label="dense")
            style.sparsity_axis(axes[i, j], of["sparsity"])
            axes[i, j].set_ylabel(f"{split} accuracy")
            axes[i, j].set_title(title)
    style.legend_above(figure)
    return figure


def overlap(rows: pd.DataFrame) -> Figure:
    """Intersection over union against sparsity: over all kernels, and for each."""
    places = _places(rows)
    names = ["all", *(x for x in rows["axis"].unique() if x != "all")]
    names = names if len(names) <= 6 else ["all"]
    size = (3.4 * len(names) + 0.6, 3.6 * len(places))
    figure, axes = style.figure(*size, len(places), len(names), sharey=True)
    for i, (title, part) in enumerate(places.items()):
        for j, name in enumerate(names):
            of = select.where(part, axis=name)
            for kind, label in OVERLAPS.items():
                _line(
                    axes[i, j], select.where(of, masks_are=kind), "value", kind, label
                )
            style.sparsity_axis(axes[i, j], of["sparsity"])
            axes[i, j].set_title(f"{title}: {name.removeprefix('params/')}")
        axes[i, 0].set_ylabel("intersection over union")
    style.legend_above(figure)
    return figure


def _line(axes: Axes, rows: pd.DataFrame, column: str, look: str, label: str) -> None:
    colour, marker, line = _LOOKS[look]
    found = select.mean(rows.assign(value=rows[column]), ["sparsity"])
    found = found.sort_values("sparsity")
    axes.fill_between(
        found["sparsity"], found["min"], found["max"], color=colour, alpha=0.12, lw=0
    )
    options = {"marker": marker, "linestyle": line, "markersize": 4.0}
    axes.plot(found["sparsity"], found["mean"], color=colour, label=label, **options)


def _places(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows by width and rewind epoch, under titles."""
    return {
        f"width {style.short(width)}, rewound to epoch {style.short(epoch)}": part
        for (width, epoch), part in rows.groupby(["width", "rewind_epoch"])
    }
