"""Train the networks of a config and record their trajectories.

    python -m experiments.trajectory --config=configs/vgg.py

Goes on with what was interrupted and trains only what is missing.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments import cli
from linconn_jax.metrics import METRICS
from linconn_jax.report import Drawing, Selection, Table, select, style
from linconn_jax.report.ends import criterion
from linconn_jax.report.sentences import drawings
from linconn_jax.report.style import short
from linconn_jax.report.tables import CASES, spread
from linconn_jax.study import Experiment, Single, Study, Task, Training


class Trajectory(Experiment):
    """Loss and error of every seed along training."""

    name = "trajectory"
    title = "Training"
    order = 0

    def tasks(self, study: Study) -> Sequence[Task]:
        """Every seed at every width: along training, and at its end by itself."""
        every = [(width, seed) for width in study.widths for seed in study.seeds]
        ends = [Single(study.network(*one)) for one in every]
        return [*(Training(*one) for one in every), *ends]

    def tables(self, rows: Selection) -> list[Table]:
        """Loss and error at the end of training, by width."""
        everything = rows.everything
        if everything.empty:
            return []
        headers = (
            "width",
            "seeds",
            "epochs",
            "steps",
            "batch loss",
            "batch error",
            *(f"{split} {metric}" for metric, split in CASES),
            "diverged seeds",
            "seeds near chance",
        )
        caption = (
            "Loss (nats) and error at the end of training, means over seeds: of the "
            "batches since the last checkpoint but one, as augmented, and of the "
            f"networks, without. A training error {criterion(rows.guessing)}"
        )
        lines = [_line(rows, everything, width) for width in select.levels(everything)]
        return [Table(caption, headers, lines)]

    def figures(self, rows: Selection) -> list[Drawing]:
        """Loss and error against the epoch."""
        everything = select.where(rows.everything, quantity="training")
        gone = [set(rows.diverged.get(width, ())) for width in everything["width"]]
        stays = [
            x.isdisjoint(y) for x, y in zip(gone, everything["seeds"], strict=True)
        ]
        return drawings("training", training, everything[stays], _CAPTION)


_CAPTION = (
    "Training loss and error, averaged over the batches since the checkpoint before; "
    "thin lines are single seeds, thick ones the mean of those that do not end near "
    "chance."
)


def _line(rows: Selection, everything: pd.DataFrame, width: int) -> tuple:
    of = select.where(everything, width=width)
    own = rows.rows[rows.rows["step"] == of["step"].max()]
    own = select.where(own, width=width)
    batches = [select.where(own, quantity="training", metric=m) for m in METRICS]
    own = select.where(own, quantity="value")
    single = [select.where(own, metric=metric, split=split) for metric, split in CASES]
    return (
        short(width),
        str(of["seeds"].nunique()),
        f"{of['epoch'].max():.3g}",
        f"{of['step'].max():.0f}",
        *map(spread, [*batches, *single]),
        *(
            ", ".join(map(str, seeds.get(width, ()))) or "none"
            for seeds in (rows.diverged, rows.near_chance)
        ),
    )


def training(rows: pd.DataFrame) -> Figure:
    """Training loss and error against the epoch; each seed, and their mean."""
    widths = select.levels(rows)
    figure, axes = style.figure(9.0, 3.7, 1, 2)
    for column, metric in enumerate(METRICS):
        part = select.where(rows, metric=metric)
        for width, colour in zip(widths, style.sequential(len(widths)), strict=True):
            _seeds(axes[0, column], select.where(part, width=width), colour, f"{width}")
        style.epoch_axis(axes[0, column], part["epoch"])
        axes[0, column].set_xlabel("epoch")
        axes[0, column].set_ylabel(f"training {style.UNITS[metric]}")
    if (select.where(rows, metric="loss")["value"] > 0).all():
        axes[0, 0].set_yscale("log")
        # Narrow ranges hold one power of ten or none.
        axes[0, 0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes[0, 0].yaxis.set_minor_formatter(NullFormatter())
    axes[0, 1].set_ylim(bottom=0.0)
    axes[0, 1].legend(title="width")
    return figure


def _seeds(axes: Axes, rows: pd.DataFrame, colour: tuple, label: str) -> None:
    for _, one in rows.sort_values("epoch").groupby("seeds"):
        axes.plot(one["epoch"], one["value"], color=colour, linewidth=0.7, alpha=0.3)
    means = select.mean(rows[~rows["is_left_out"]], ["epoch"]).sort_values("epoch")
    axes.plot(means["epoch"], means["mean"], color=colour, marker=".", label=label)


EXPERIMENT = Trajectory()

if __name__ == "__main__":
    cli.main("trajectory")
