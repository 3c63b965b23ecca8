"""One permutation for a whole sequence of networks, whatever kind of sequence it is.

An experiment is a subclass of `OnePermutation` that names its kind of sequence
(`linconn_jax.study.sequences`). For each pair of seeds, permutations are found at every
place t of the two sequences and applied at every place t'; beside them the networks as
they are (naive), a random permutation, the permutation matched anew at each t', one that
is fitted to all places at once, and how far two runs on the same pair differ by chance.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pandas as pd
from matplotlib.axes import Axes

from experiments import one_permutation_figures as figures
from experiments import one_permutation_lines as along
from experiments import one_permutation_words as words
from experiments.one_permutation_rows import located
from linconn_jax import checks
from linconn_jax.checks import setting
from linconn_jax.report import Drawing, Selection, Table, lines, select
from linconn_jax.report.sentences import drawings, none
from linconn_jax.study import (
    Agreement,
    AlignmentKey,
    Barrier,
    Experiment,
    Study,
    Task,
    Vertex,
    pair,
    sequences,
    settings,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which pairs are followed along their sequences, and by which methods."""

    section: ClassVar[str]

    widths: tuple[int, ...] | None = settings.some_widths()
    pairs: tuple[tuple[int, int], ...] = setting(((0, 1),), settings.PAIRS, "of seeds")
    method: str = setting("weight_matching", settings.aligning, "that aligns them")
    draws: int = setting(
        2, checks.whole(1), "runs of it on a pair, 2 or more to see what chance does"
    )
    random: bool = setting(False, checks.FLAG, "whether to try a random permutation")
    together: str | None = setting(
        None,
        lambda: checks.optional(sequences.joining()),
        "method that finds one permutation for all places at once",
    )

    def check(self, common: settings.Settings) -> None:
        """Refuses seeds and widths that the study has not.

        Raises:
          ValueError: naming them.
        """
        common.check_part(self.section, self)


class OnePermutation(Experiment):
    """The matrix of barriers over (found at t, applied at t').

    Attributes:
      sequence: name of the kind of sequence.
      about: title of its panel of the overview.
    """

    sequence: ClassVar[str]
    about: ClassVar[str] = "one permutation for the sequence"

    @property
    def kind(self) -> sequences.SequenceKind:
        """Its kind of sequence."""
        return sequences.kind(self.sequence)

    def fits(self, study: Study, vertices: Sequence[Vertex]) -> list[tuple[int, ...]]:
        """Where permutations are found that are applied all along: numbers of places.

        Args:
          study: whose settings count.
          vertices: one of the two sequences.
        """
        places = range(len(vertices))
        several = [tuple(places)] if self.settings(study).together else []
        return [*((place,) for place in places), *several]

    def tasks(self, study: Study) -> Sequence[Task]:
        """The full matrix, agreements with the chosen permutation, the null of both."""
        own = self.settings(study)
        found = [
            task
            for width in study.settings.some(self.name, own.widths)
            for seeds in own.pairs
            for task in self._of_pair(study, width, seeds)
        ]
        return list(dict.fromkeys(found))

    def _of_pair(
        self, study: Study, width: int, seeds: tuple[int, int]
    ) -> Iterator[Task]:
        own = self.settings(study)
        both = [self.kind.vertices(study, width, seed) for seed in seeds]
        pairs = list(zip(*both, strict=True))
        fits = self.fits(study, both[0])

        def found(places: tuple[int, ...], draw: int = 0) -> AlignmentKey:
            method = own.method if len(places) == 1 else own.together
            ends = tuple(each[place] for each in both for place in places)
            return AlignmentKey(method, ends, draw)

        def applied(key: AlignmentKey) -> Iterator[Task]:
            options = {"fitted": key.networks, "draw": key.draw}
            for ends in pairs:
                yield Barrier(pair(*ends, method=key.method, **options))

        def anew(draw: int) -> Iterator[Task]:
            for ends in pairs:
                yield Barrier(pair(*ends, method=own.method, draw=draw))

        chosen = (range(len(pairs))[self.kind.chosen],)
        yield from (Barrier(pair(*ends, method="naive")) for ends in pairs)
        for places in fits:
            yield from applied(found(places))
        yield from (Agreement(found(places), found(chosen)) for places in fits)
        yield from anew(0)
        if own.random:
            yield from applied(AlignmentKey("random", pairs[chosen[0]]))
        for draw in range(1, own.draws):
            yield from anew(draw)
            several = [places for places in fits if len(places) > 1]
            for places in [x for x in (chosen, *several) if x in fits]:
                yield from applied(found(places, draw))
            for places in [*((i,) for i in range(len(pairs))), *several]:
                yield Agreement(found(places, draw), found(places))

    def tables(self, rows: Selection) -> list[Table]:
        """Barriers along the sequence of each permutation."""
        barriers, agreed = self.parts(rows)
        return words.table(self.kind, barriers, agreed)

    def sentences(self, rows: Selection) -> list[str]:
        """For each width: where the chosen permutation helps, and which do at the end."""
        barriers, agreed = self.parts(rows)
        return [*none(rows), *words.sentences(self.kind, barriers, agreed)]

    def figures(self, rows: Selection) -> list[Drawing]:
        """Barriers along the sequence as lines and as a matrix, and agreements."""
        barriers, agreed = self.parts(rows)
        matrix = figures.matrix, figures.matrix_caption
        agreement = figures.agreement, figures.agreement_caption
        return [
            *self.lines(rows),
            *self._drawn(f"{self.name}_matrix", *matrix, barriers),
            *self._drawn(self.agreement, *agreement, agreed),
        ]

    def lines(self, rows: Selection) -> list[Drawing]:
        """Barriers along the sequence as lines."""
        barriers, _ = self.parts(rows)
        return self._drawn(f"{self.name}_lines", along.along, along.caption, barriers)

    def _drawn(
        self, name: str, draw: Callable, caption: Callable, rows: pd.DataFrame
    ) -> list[Drawing]:
        made = functools.partial(draw, self.kind)
        return drawings(name, made, rows, caption(self.kind, rows))

    @property
    def agreement(self) -> str:
        """Name of the figure of agreements."""
        return f"{self.name}_agreement"

    def panel(self, rows: Selection) -> Callable[[Axes], None] | None:
        """Loss barriers along the sequence of some permutations, widest networks."""
        found = select.where(self.parts(rows)[0], metric="loss")
        return functools.partial(self._panel, found) if len(found) else None

    def _panel(self, rows: pd.DataFrame, axes: Axes) -> None:
        kind, width = self.kind, select.levels(rows)[-1]
        rows = select.where(rows, width=width)
        axes.set_title(self.about)
        largest = along.sequences(axes, kind, rows, few=True)
        kind.axis(axes, rows["place"])
        axes.set_xlabel(f"{kind.noun} {kind.symbol}′ (width {width})")
        title = f"P found at {kind.noun} {kind.symbol}"
        lines.panel(axes, largest, title=title, ncols=2)

    def parts(self, rows: Selection) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Training barriers, and agreements, as located rows."""
        barriers = select.barriers(rows.rows, split="train")
        agreed = select.where(rows.rows, quantity="agreement")
        return located(self.kind, barriers), located(self.kind, agreed)
