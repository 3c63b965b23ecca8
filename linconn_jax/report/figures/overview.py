"""One picture of all three claims."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconn_jax.report import select, style
from linconn_jax.report.figures import simultaneous, strong, weak


def overview(rows: pd.DataFrame) -> Figure | None:
    """Weak, simultaneous and strong connectivity in three panels: training loss."""
    found = select.barriers(rows)
    found = found[(found["split"] == "train") & (found["metric"] == "loss")]
    if found.empty:
        return None
    figure, axes = style.figure(16 / 1.5, 5 / 1.5 + 0.25, 1, 3)
    _weak(axes[0, 0], select.weak(found))
    _simultaneous(axes[0, 1], select.simultaneous(found))
    _strong(axes[0, 2], found)
    return figure


def _weak(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_title("weak: each pair has its permutation")
    if rows.empty:
        return _absent(axes)
    for method in select.methods(rows):
        weak.by_width(axes, rows[rows["method"] == method], method)
    style.width_axis(axes, select.widths(rows))
    return _finish(axes, rows["value"].max())


def _simultaneous(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_title("simultaneous: one for all of training")
    if rows.empty:
        return _absent(axes)
    width = weak.few(select.widths(rows))[-1]
    rows = rows[rows["width"] == width]
    means = select.mean(rows, ["fit_epoch", "epoch"]).sort_values("epoch")
    epochs = sorted(means["fit_epoch"].dropna().unique())
    chosen = {epochs[i * (len(epochs) - 1) // 4] for i in range(5)}
    simultaneous.sequences(axes, means, only=tuple(chosen))
    style.epoch_axis(axes, means["epoch"])
    axes.set_xlabel(f"epoch t′ (width {width})")
    _finish(axes, means["mean"].max(), title="P found at epoch t", ncols=2)
    return None


def _strong(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_title("strong: one permutation a network")
    methods = strong.strong_methods(rows)
    if not methods:
        return _absent(axes)
    strong.shapes(axes, rows, methods[0], dots=False)
    style.width_axis(axes, select.widths(rows))
    axes.set_xlabel(f"width (units), {style.look(methods[0]).label}")
    return _finish(axes, rows["value"].max())


def _finish(axes: Axes, largest: float, **legend: object) -> None:
    style.barrier_axis(axes, "loss", largest)
    axes.set_ylabel("training loss barrier (nats)")
    axes.legend(fontsize=7, title_fontsize=7, **legend)


def _absent(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not computed yet", ha="center", transform=axes.transAxes)
    axes.set_axis_off()
