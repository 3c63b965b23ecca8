"""Weak linear connectivity: does some permutation remove each pair's barrier?

    python -m experiments.weak --config=configs/digits.py

For all pairs of seeds (or the configured ones) at the end of training, at every width:
barriers of the pair as it is (naive), after a random permutation, and after aligning the
second network to the first by weight and by activation matching.
"""

import functools
from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import cli
from linconn_jax.metrics import METRICS
from linconn_jax.report import Drawing, Selection, Table, lines, select, style, tables
from linconn_jax.report.ends import judged
from linconn_jax.report.naive import not_below
from linconn_jax.report.sentences import DOTS, drawings, none, of_levels
from linconn_jax.report.style import number
from linconn_jax.study import Barrier, Experiment, Study, Task, pair


class Weak(Experiment):
    """Barriers of pairs at the end of training, against width."""

    name = "weak"
    title = "Weak linear connectivity"
    order = 10

    def tasks(self, study: Study) -> Sequence[Task]:
        """All widths, pairs and methods."""
        return [
            Barrier(
                pair(study.network(width, a), study.network(width, b), method=method)
            )
            for width in study.widths
            for a, b in study.pairs
            for method in study.settings.methods
        ]

    def tables(self, rows: Selection) -> list[Table]:
        """Barriers by width and method."""
        return tables.barriers(rows, "pairs")

    def sentences(self, rows: Selection) -> list[str]:
        """For each method: where its error barrier meets the threshold, how it falls."""
        found, said = select.barriers(rows.rows, split="train"), none(rows)
        for method in select.methods(found, aligning=True):
            own = select.where(found, method=method)
            said.append(of_levels(f"Pairs, {style.look(method).label}", own))
            naive = select.where(found, method="naive")
            said += _against_naive(own, naive)
            said += not_below([(f"Pairs, {style.look(method).label}", own)], naive)
        return said

    def figures(self, rows: Selection) -> list[Drawing]:
        """Barriers against width, and what lies between two networks."""
        values = select.where(rows.rows, quantity="value", split="train")
        shown = ["naive", *select.methods(values, aligning=True)]
        values = values[values["method"].isin(shown)]
        barriers = select.barriers(rows.rows)
        widths = {w: f"width {w}" for w in select.few(select.levels(values))}
        along = functools.partial(lines.segments, column="width", titles=widths)
        return [
            *drawings("weak_width", against_width, barriers, _WIDTH),
            *drawings("weak_segment", along, values, _SEGMENT),
        ]

    def panel(self, rows: Selection) -> Callable[[Axes], None] | None:
        """Loss barriers against width."""
        found = select.barriers(rows.rows, split="train", metric="loss")
        return functools.partial(_panel, found) if len(found) else None


_WIDTH = (
    "Barrier of pairs of networks at the end of training against width. "
    + DOTS.format(what="pairs")
)
_SEGMENT = (
    "Training loss and error along the segment (1−α)θ₁ + αθ₂ between two networks, the "
    "second as it is (naive) or aligned to the first. Thick lines are means over pairs, "
    "thin ones single pairs."
)


def _against_naive(rows: pd.DataFrame, naive: pd.DataFrame) -> list[str]:
    columns = ["width", "seeds", "value"]
    own, plain = (select.where(judged(x), metric="loss") for x in (rows, naive))
    same, suffixes = ["width", "seeds"], ("", "_naive")
    both = own[columns].merge(plain[columns], on=same, suffixes=suffixes)
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


def _panel(rows: pd.DataFrame, axes: Axes) -> None:
    axes.set_title("weak: each pair has its permutation")
    for method in select.methods(rows):
        lines.against(axes, select.where(rows, method=method), method)
    style.level_axis(axes, select.levels(rows))
    lines.panel(axes, rows["value"].max())


def against_width(rows: pd.DataFrame) -> Figure:
    """Barriers against width, a line for each method; loss and error, train and test."""
    figure, axes = style.figure(9.0, 6.0, 2, 2, sharey="row")
    for i, metric in enumerate(METRICS):
        largest = select.where(rows, metric=metric)["value"].max()
        for j, (split, name) in enumerate(style.SPLITS.items()):
            part = select.where(rows, metric=metric, split=split)
            for method in select.methods(part):
                lines.against(axes[i, j], select.where(part, method=method), method)
            style.level_axis(axes[i, j], select.levels(rows))
            style.barrier_axis(axes[i, j], metric, largest)
            axes[i, j].set_title(f"{metric}, {name}")
            axes[i, j].label_outer()
    style.legend_above(figure)
    return figure


EXPERIMENT = Weak()

if __name__ == "__main__":
    cli.main("weak")
