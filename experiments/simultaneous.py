"""Simultaneous weak connectivity: does ONE permutation serve all of training?

    python -m experiments.simultaneous --config=configs/digits.py

A permutation is found at every checkpoint t and applied at every checkpoint t' (where
t = t' it is matched anew), beside the naive barrier at t'; and the agreement of each P_t
with the last one, P_T, per layer.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments import cli
from experiments import simultaneous_figures as figures
from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.checks import setting
from linconn_jax.report import Drawing, Selection, Spread, Table, lines, select, style
from linconn_jax.report.ends import judged
from linconn_jax.report.sentences import count, drawings, listed, none, unjudged
from linconn_jax.report.style import number, short
from linconn_jax.report.tables import AT_ENDS, NOTHING, spread
from linconn_jax.study import (
    Agreement,
    AlignmentKey,
    Barrier,
    Experiment,
    Study,
    Task,
    pair,
    settings,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which pairs are followed along training, and by which method."""

    widths: tuple[int, ...] = setting((64,), settings.WIDTHS, "some of all widths")
    pairs: tuple[tuple[int, int], ...] = setting(((0, 1),), settings.PAIRS, "of seeds")
    method: str = setting("weight_matching", settings.aligning, "that aligns them")

    def check(self, common: settings.Settings) -> None:
        """Refuses seeds and widths that the study has not.

        Raises:
          ValueError: naming them.
        """
        common.check_pairs("simultaneous.pairs", self.pairs)
        absent = sorted(set(self.widths) - set(common.widths))
        if absent:
            raise ValueError(
                f"simultaneous.widths {absent} are not among widths={common.widths}; "
                "add them there"
            )


class Simultaneous(Experiment):
    """The matrix of barriers over (found at t, applied at t')."""

    name = "simultaneous"
    title = "Simultaneous weak linear connectivity"
    order = 20
    Settings = Settings

    def tasks(self, study: Study) -> Sequence[Task]:
        """The full matrix, and agreements with the last permutation."""
        found = []
        for width in self.settings(study).widths:
            for seeds in self.settings(study).pairs:
                found += self._of_pair(study, width, seeds)
        return found

    def _of_pair(
        self, study: Study, width: int, seeds: tuple[int, int]
    ) -> Sequence[Task]:
        method, steps = self.settings(study).method, study.steps(width)
        along = [[study.network(width, s, t) for s in seeds] for t in steps]
        naive = [Barrier(pair(*ends, method="naive")) for ends in along]
        aligned = [
            Barrier(pair(*ends, method=method, fit_step=t))
            for t in steps
            for ends in along
        ]
        keys = [AlignmentKey(method, tuple(ends)) for ends in along]
        return [*naive, *aligned, *(Agreement(key, keys[-1]) for key in keys)]

    def tables(self, rows: Selection) -> list[Table]:
        """Barriers along training of the permutation found at each epoch."""
        found = select.barriers(rows.rows, split="train")
        if found.empty:
            return []
        agreed = select.where(rows.rows, quantity="agreement", axis="all")
        lines = [
            _line(select.where(found, width=width), agreed, width, epoch)
            for width in select.levels(found)
            for epoch in [
                None,
                *select.levels(select.where(found, width=width), "fit_epoch"),
            ]
        ]
        return [Table(_TABLE, _HEADERS, lines)]

    def sentences(self, rows: Selection) -> list[str]:
        """For each width: at how many epochs P_T helps, which P_t suffice at the end."""
        found, said = select.barriers(rows.rows, split="train"), none(rows)
        for width in select.levels(found):
            said += _all_along(select.where(found, width=width, metric="loss"), width)
            said += _in_the_end(select.where(found, width=width, metric="error"), width)
        return said

    def figures(self, rows: Selection) -> list[Drawing]:
        """Barriers along training as lines and as a matrix, and agreements."""
        found = select.barriers(rows.rows, split="train")
        agreed = select.where(rows.rows, quantity="agreement")
        return [
            *drawings(
                "simultaneous_lines", figures.along_training, found, figures.LINES
            ),
            *drawings("simultaneous_matrix", figures.matrix, found, figures.MATRIX),
            *drawings("agreement", figures.agreement, agreed, figures.AGREEMENT),
        ]

    def panel(self, rows: Selection) -> Callable[[Axes], None] | None:
        """Loss barriers along training of some of the permutations, widest networks."""
        found = select.barriers(rows.rows, split="train", metric="loss")
        return functools.partial(_panel, found) if len(found) else None


def _panel(rows: pd.DataFrame, axes: Axes) -> None:
    width = select.levels(rows)[-1]
    rows = select.where(rows, width=width)
    means = select.mean(rows, ["fit_epoch", "epoch"]).sort_values("epoch")
    epochs = select.levels(means, "fit_epoch")
    chosen = {epochs[i * (len(epochs) - 1) // 4] for i in range(5)} if epochs else ()
    axes.set_title("simultaneous: one for all of training")
    figures.sequences(axes, means, only=tuple(chosen))
    style.epoch_axis(axes, means["epoch"])
    axes.set_xlabel(f"epoch t′ (width {width})")
    lines.panel(axes, means["mean"].max(), title="P found at epoch t", ncols=2)


_TABLE = (
    "Training barriers (interpolated baseline) of one permutation applied at every "
    f"recorded epoch, and the networks' own loss and error ({AT_ENDS}): means over pairs"
)
_HEADERS = (
    "width",
    "P found at epoch",
    "pairs",
    "loss: largest",
    "at epoch",
    "loss at the end",
    AT_ENDS,
    "error: largest",
    "error at the end",
    AT_ENDS,
    "agreement with P_T",
)


def _line(
    found: pd.DataFrame, agreed: pd.DataFrame, width: int, epoch: float | None
) -> tuple[str | Spread, ...]:
    """A line of the table: of the permutation found at an epoch, or naive."""
    here = found["fit_epoch"].isna() if epoch is None else found["fit_epoch"] == epoch
    loss, error = (select.where(found[here], metric=m) for m in ("loss", "error"))
    last = [select.where(x, epoch=found["epoch"].max()) for x in (loss, error)]
    at_end = [spread(part, column) for part in last for column in ("value", "ends")]
    return (
        short(width),
        "naive" if epoch is None else f"{epoch:.3g}",
        str(found[here]["seeds"].nunique()),
        *_largest(loss),
        *at_end[:2],
        _largest(error)[0],
        *at_end[2:],
        spread(select.where(agreed, width=width, fit_epoch=epoch)),
    )


def _largest(rows: pd.DataFrame) -> tuple[str, str]:
    """The largest mean over epochs, and its epoch."""
    means = select.mean(rows, ["epoch"]).sort_values("epoch")
    if means.empty:
        return NOTHING, NOTHING
    finite = np.isfinite(means["mean"])
    top = means.loc[means["mean"].idxmax() if finite.all() else finite.idxmin()]
    return number(top["mean"]), f"{top['epoch']:.3g}"


def _all_along(rows: pd.DataFrame, width: int) -> list[str]:
    early, later = unjudged(rows, "epoch"), judged(rows, "epoch")
    if len(rows) and later.empty:
        return [f"Width {width}: no verdict, since no epoch's networks are trained."]
    means = select.mean(later, ["fit_epoch", "epoch"])
    last = means["fit_epoch"].max()
    table = means.pivot(index="epoch", columns="fit_epoch", values="mean")
    naive = table.columns.isna()
    if not naive.any() or last not in table.index:
        return []
    aligned, plain = table[last], table.loc[:, naive].iloc[:, 0]
    if not np.isfinite(aligned).all():
        return [
            f"Width {width}: the training loss barrier of P_T is not always finite."
        ]
    lower = aligned.index[aligned < plain]
    rest = [f"{t:.3g}" for t in aligned.index if t not in lower]
    told = [f"not at epoch {listed(rest)}"] if rest else []
    told += [f"not judged: epoch {listed(early)}"] if early else []
    not_at = f" ({'; '.join(told)})" if told else ""
    at = aligned.idxmax()
    end = f", and at the end {number(aligned[last])} against {number(plain[last])}"
    return [
        f"Width {width}: P_T, found at the end (epoch {last:.3g}), lowers the mean "
        f"training loss barrier of {count(rows, 'pair')} at {len(lower)} of "
        f"{len(aligned)} recorded epochs whose networks are clearly below chance"
        f"{not_at}; at its largest, at epoch {at:.3g}, it is {number(aligned[at])} where "
        f"the naive one is {number(plain[at])}"
        f"{'' if at == last else end}."
    ]


def _in_the_end(rows: pd.DataFrame, width: int) -> list[str]:
    ends = judged(select.where(rows, epoch=rows["epoch"].max()), "epoch")
    ends = select.mean(ends, ["fit_epoch"]).dropna(subset="fit_epoch")
    if ends.empty:
        return []
    enough = ends.loc[ends["mean"] <= LMC_THRESHOLD, "fit_epoch"]
    if enough.empty:
        best = ends["mean"].min()
        low = "" if np.isnan(best) else f"; the lowest is {number(best)}"
        return [
            f"Width {width}: no recorded P_t brings the mean training error barrier at "
            f"the end of training to {LMC_THRESHOLD} or below{low}."
        ]
    return [
        f"Width {width}: the earliest P_t with a mean training error barrier of at most "
        f"{LMC_THRESHOLD} at the end of training is that of epoch {enough.min():.3g}."
    ]


EXPERIMENT = Simultaneous()

if __name__ == "__main__":
    cli.main("simultaneous")
