"""An experiment of one's own: how far along is a network in the basin that it ends in?

    python -m departure --config=configs/digits.py
    python -m experiments.paper --plugin=departure --config=configs/digits.py

Barriers between each network at epoch t and the same network at the end of training.
"""

import dataclasses

from experiments import cli
from linconn_jax import report
from linconn_jax.report import select, style
from linconn_jax.study import Barrier, Experiment, register


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which seeds are looked at."""

    seeds: tuple[int, ...] = (0,)


class Departure(Experiment):
    """Barriers from epoch t to the end, of one network."""

    name = "departure"
    title = "From early to late in one run"
    Settings = Settings

    def tasks(self, study):
        """Every recorded step against the last, at every width."""
        return [
            Barrier((study.network(width, seed, step), study.network(width, seed)))
            for width in study.widths
            for seed in self.settings(study).seeds
            for step in study.steps(width)[:-1]
        ]

    def _means(self, selection):
        rows = select.barriers(selection.rows)
        rows = rows[(rows["split"] == "train") & (rows["metric"] == "loss")].copy()
        rows["start"] = [min(epoch) for epoch in rows["epoch"]]
        return select.mean(rows, ["width", "start"])

    def tables(self, selection):
        """Mean barrier by width and epoch."""
        lines = tuple(
            (f"{x.width:.0f}", f"{x.start:.3g}", style.number(x.mean))
            for x in self._means(selection).itertuples()
        )
        headers = ("width", "from epoch", "train loss")
        return [report.Table("Barriers from epoch t to the end", headers, lines)]

    def sentences(self, selection):
        """The largest of them."""
        worst = self._means(selection)["mean"].max()
        return [f"The largest barrier from early to late is {style.number(worst)}."]

    def figures(self, selection):
        """Barrier against the epoch, a line for each width."""
        figure, axes = style.figure(5.0, 3.5, 1, 1)
        for width, line in self._means(selection).groupby("width"):
            axes[0, 0].plot(line["start"], line["mean"], marker="o", label=f"{width}")
        axes[0, 0].legend(title="width")
        caption = "Training loss barrier between epoch t and the end of one run."
        return [report.Drawing("departure", figure, caption)]


register(Departure())

if __name__ == "__main__":
    cli.main("departure")
