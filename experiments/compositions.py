"""How fast alignments degrade when they are composed.

    python -m experiments.compositions --config=configs/digits.py

Networks are aligned along paths, C to B and then B to A, of up to five alignments, and
compared with C aligned to A directly: how many units come to the same place, and the
barrier. And around cycles, from A through others back to A: how many units come back to
their place, and the barrier between A and what came back. Beside them: two runs of the
method on one pair with different random keys, random permutations, and naive pairs.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import pandas as pd

from experiments import cli
from experiments import compositions_figures as figures
from linconn_jax import align, checks
from linconn_jax.checks import setting
from linconn_jax.metrics import METRICS
from linconn_jax.report import Drawing, Selection, Spread, Table, select
from linconn_jax.report.ends import judged
from linconn_jax.report.sentences import drawings, none
from linconn_jax.report.style import number, short
from linconn_jax.report.tables import AT_ENDS, NOTHING, RANGES, spread
from linconn_jax.study import (
    Agreement,
    Aligned,
    AlignmentKey,
    Barrier,
    Experiment,
    Likeness,
    Study,
    Task,
    chain,
    composed,
    pair,
    settings,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How far alignments are composed, and by which method they are found."""

    widths: tuple[int, ...] | None = setting(
        None, checks.optional(settings.WIDTHS), "some of all; all if None"
    )
    method: str = setting("weight_matching", settings.aligning, "that aligns pairs")
    longest: int = setting(
        5, checks.whole(2), "most alignments composed, as far as there are seeds"
    )

    def check(self, common: settings.Settings) -> None:
        """Refuses widths that the study has not, and what cannot be composed.

        Raises:
          ValueError: naming them.
        """
        common.check_part("compositions", self)
        if align.method(self.method).joint:
            raise ValueError(
                f"compositions.method={self.method!r} moves both networks of a pair; "
                "what is composed leaves the first as it is: give another method"
            )
        if len(common.seeds) < 3:
            raise ValueError(
                f"seeds={common.seeds}; a composition needs at least 3 networks"
            )


class Compositions(Experiment):
    """Agreement and barriers of composed alignments against their number."""

    name = "compositions"
    title = "Composed alignments"
    order = 70
    asked_by_name = True
    Settings = Settings

    def tasks(self, study: Study) -> Sequence[Task]:
        """From every network along a circle of all: paths and cycles of each length."""
        chosen = self.settings(study)
        found = [
            task
            for width in chosen.widths or study.widths
            for task in self._of_width(study, width, chosen.method, chosen.longest)
        ]
        return [*dict.fromkeys(found)]

    def _of_width(
        self, study: Study, width: int, method: str, longest: int
    ) -> Iterator[Task]:
        networks = [study.network(width, seed) for seed in study.seeds]
        for first in range(len(networks)):
            around = [*networks[first:], *networks[:first]]
            a = around[0]
            for length in range(1, min(longest, len(networks) - 1) + 1):
                route = around[: length + 1]
                direct = [a, route[-1]]
                for other in ("naive", "random", method):
                    yield Barrier(pair(*direct, method=other))
                if length > 1:
                    yield Barrier(composed(route, method=method))
                    both = (chain(x, method=method) for x in (route, direct))
                    yield Likeness(*both)
            for length in range(2, min(longest, len(networks)) + 1):
                cycle = [*around[:length], a]
                yield Barrier(composed(cycle, method=method))
                yield Likeness(chain(cycle, method=method))
            yield Barrier((a, Aligned(a, AlignmentKey("random", (a, a)))))
            (plain,) = chain(around[:2], method=method)
            again = dataclasses.replace(plain, draw=1)
            yield Barrier((a, Aligned(around[1], again)))
            yield Agreement(again, plain)

    def tables(self, rows: Selection) -> list[Table]:
        """By width and kind of alignment: agreement, and training barriers."""
        found, lines = figures.kinds(rows.rows), []
        for width in select.levels(found):
            of = select.where(found, width=width)
            for kind, (*_, label) in figures.LOOKS.items():
                same = select.where(of, kind=kind)
                for length in select.levels(same, "length"):
                    lines.append(_line(select.where(same, length=length), label))
        return [Table(_TABLE, _HEADERS, lines)] if lines else []

    def sentences(self, rows: Selection) -> list[str]:
        """For each width: what composing costs, and how cycles close."""
        found, said = figures.kinds(rows.rows), none(rows)
        for width in select.levels(found):
            part = select.where(found, width=width)
            measured = select.where(part, quantity="barrier", metric="loss")
            if judged(measured, "width").empty:
                said.append(f"Width {width}: no verdict, since ends are near chance.")
                continue
            said += [*_paths(part, width), *_cycles(part, width)]
        return said

    def figures(self, rows: Selection) -> list[Drawing]:
        """Agreements and barriers against the number of alignments composed."""
        found = figures.kinds(rows.rows)
        cycles = found[found["kind"].isin(["cycle", "itself"])]
        return [
            *drawings("compositions", figures.paths, found, figures.PATHS),
            *drawings("cycles", figures.cycles, cycles, figures.CYCLES),
        ]


_TABLE = (
    "Composed alignments at the end of training: fraction of all units that are where "
    "the direct alignment puts them (second run: where the first run does; cycle: where "
    "they were), what random permutations have on average, and training barriers over "
    "the interpolated baseline (loss in nats), beside each the networks' own "
    f"({AT_ENDS}); of what is not composed between the ends of the paths of that length: "
    f"means over pairs of ends{RANGES}"
)
_HEADERS = (
    *("width", "aligned", "length", "pairs", "agreement", "by chance"),
    *("loss barrier", AT_ENDS, "error barrier", AT_ENDS),
)


def _line(rows: pd.DataFrame, label: str) -> tuple[str | Spread, ...]:
    """A line of the table: of one width, kind and length."""
    agreed = select.where(rows, quantity="agreement", axis="all")
    cells = [spread(agreed)]
    cells += [spread(agreed.dropna(subset="chance"), "chance")]
    for metric in METRICS:
        measured = select.where(rows, quantity="barrier", metric=metric)
        cells += [spread(measured), spread(measured, "ends")]
    one = rows.iloc[0]
    pairs = str(rows["seeds"].nunique())
    return (short(one["width"]), label, short(one["length"]), pairs, *cells)


def _mean(rows: pd.DataFrame, kind: str, length: float, **columns: str) -> str:
    """The mean of one kind at one length, in words."""
    found = select.where(rows, kind=kind, length=length, **columns)
    return number(found["value"].mean()) if len(found) else NOTHING


def _paths(rows: pd.DataFrame, width: int) -> list[str]:
    """Agreement and loss barriers of the shortest and longest path, if there is one."""
    lengths = select.levels(select.where(rows, kind="composed"), "length")
    if not lengths:
        return []
    units, loss = {"quantity": "agreement", "axis": "all"}, {"metric": "loss"}
    chance = select.where(rows, kind="composed", **units)["chance"].mean()
    second = _mean(rows, figures.SECOND, 1, **units)
    said = []
    for length in dict.fromkeys((lengths[0], lengths[-1])):
        agreed = _mean(rows, "composed", length, **units)
        own, direct, naive, random = (
            _mean(rows, kind, length, quantity="barrier", **loss)
            for kind in ("composed", "direct", "naive", "random")
        )
        said.append(
            f"{length:.0f} composed alignments agree with the direct one on {agreed} of "
            f"the units, and their mean training loss barrier is {own} (direct {direct}, "
            f"naive {naive}, random {random})"
        )
    return [
        f"Width {width}: {'; '.join(said)}; two runs on one pair agree on {second}, "
        f"random permutations on {number(chance)}."
    ]


def _cycles(rows: pd.DataFrame, width: int) -> list[str]:
    """How much of a network comes back, if there are cycles."""
    lengths = select.levels(select.where(rows, kind="cycle"), "length")
    if not lengths:
        return []
    units = {"quantity": "agreement", "axis": "all"}
    loss = {"quantity": "barrier", "metric": "loss"}
    said = [
        f"{_mean(rows, 'cycle', n, **units)} of the units at length {n:.0f} (training "
        f"loss barrier with itself {_mean(rows, 'cycle', n, **loss)})"
        for n in dict.fromkeys((lengths[0], lengths[-1]))
    ]
    return [f"Width {width}: around a cycle come back {' and '.join(said)}."]


EXPERIMENT = Compositions()

if __name__ == "__main__":
    cli.main("compositions")
