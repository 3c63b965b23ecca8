"""How far apart are networks, and does permuting (or width) bring them together?

    python -m experiments.distances --config=configs/digits.py

L2, cosine and the normalised squared distance Σ(a−b)² / mean(Σa², Σb²), over all trained
parameters and layer by layer. At the end of training, of all pairs: as they are, after a
random permutation and after each method; and of the first network and a random direction
as long as the second, which the methods align as well as they can. Along training: of a
network to its own start and end, and of two runs before and after permuting.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import pandas as pd

from experiments import cli
from experiments import distances_figures as figures
from experiments import distances_tables as told
from experiments.distances_figures import along, at_end, kinds
from linconn_jax import align, checks
from linconn_jax.checks import setting
from linconn_jax.report import Drawing, Selection, Table, select
from linconn_jax.report.sentences import count, facts
from linconn_jax.study import (
    Distance,
    Experiment,
    RandomDirection,
    Single,
    Study,
    Task,
    pair,
    settings,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which pairs are followed along training, and by which method they are aligned."""

    widths: tuple[int, ...] | None = settings.some_widths()
    pairs: tuple[tuple[int, int], ...] | None = setting(
        None,
        checks.optional(settings.PAIRS),
        "of seeds, likewise; None: the first pair",
    )
    method: str = setting("weight_matching", settings.aligning, "that aligns them")

    def check(self, common: settings.Settings) -> None:
        """Refuses seeds and widths that the study has not.

        Raises:
          ValueError: naming them.
        """
        common.check_part("distances", self)


class Distances(Experiment):
    """Distances at the end of training against width, and along training."""

    name = "distances"
    title = "Distances between networks"
    order = 90
    asked_by_name = True
    Settings = Settings

    def tasks(self, study: Study) -> Sequence[Task]:
        """The networks by themselves; all pairs at the end; some along training."""
        own, pairs = self.settings(study), study.pairs
        some = pairs[:1] if own.pairs is None else own.pairs
        followed = study.settings.some("distances", own.widths)
        found: list[Task] = []
        for width in study.widths:
            along = some if width in followed else ()
            seeds = dict.fromkeys(seed for both in (*pairs, *along) for seed in both)
            found += [Single(study.network(width, seed)) for seed in seeds]
            found += [x for both in pairs for x in self._at_end(study, width, both)]
            found += [x for both in along for x in self._along(study, width, both)]
        return found

    def _at_end(
        self, study: Study, width: int, seeds: tuple[int, int]
    ) -> Iterator[Task]:
        a, b = (study.network(width, seed) for seed in seeds)
        for method in study.settings.methods:
            yield Distance(pair(a, b, method=method))
            if method == "naive" or align.method(method).aligns:
                yield Distance(pair(a, RandomDirection(b), method=method))

    def _along(
        self, study: Study, width: int, seeds: tuple[int, int]
    ) -> Iterator[Task]:
        method, steps = self.settings(study).method, study.steps(width)
        found = {t: [study.network(width, s, t) for s in seeds] for t in steps}
        for step, both in found.items():
            yield Distance(pair(*both, method="naive"))
            for fit in dict.fromkeys((steps[-1], step)):
                yield Distance(pair(*both, method=method, fitted=found[fit]))
            for one in both:
                first, last = (dataclasses.replace(one, step=steps[i]) for i in (0, -1))
                yield Distance((first, one))
                yield Distance((one, last))

    def tables(self, rows: Selection) -> list[Table]:
        """By width and method; by layer at the largest width; by epoch."""
        ends = at_end(rows.everything)
        if ends.empty:
            return []
        parts = told.by_layer(at_end(rows.rows)), told.by_epoch(_all(along(rows.rows)))
        return [told.by_width(ends), *itertools.chain(*parts)]

    def sentences(self, rows: Selection) -> list[str]:
        """What aligning brings at the ends of the widths, and along training."""
        ends, followed = _all(at_end(rows.rows)), _all(along(rows.rows))
        widths = select.levels(ends)
        said = [
            told.brought(select.where(ends, width=width), method)
            for width in dict.fromkeys((*widths[:1], *widths[-1:]))
            for method in select.methods(ends, aligning=True)
        ]
        said += [
            told.with_width(part, name)
            for (method, control, name), part in kinds(ends)
            if not control and method in select.methods(ends, aligning=True)
        ]
        said += [
            told.in_training(select.where(followed, width=width))
            for width in select.levels(followed)
        ]
        return [x for x in said if x]

    def figures(self, rows: Selection) -> list[Drawing]:
        """Against width, by layer, and along training."""
        ends, followed = at_end(rows.rows), along(rows.rows)
        drawn = []
        for name, draw, part, caption in (
            ("distances_width", figures.against_width, ends, figures.WIDTH),
            ("distances_layers", figures.by_layer, ends, figures.LAYERS),
            ("distances_training", figures.in_training, followed, figures.TRAINING),
        ):
            if part["is_pair"].any():
                counted = count(part[part["is_pair"]], "pair")
                words = f"{caption} {counted}. {facts(part, counted=False)}"
                drawn.append(Drawing(name, draw(part), words))
        return drawn


def _all(rows: pd.DataFrame) -> pd.DataFrame:
    """Normalised distances over all parameters."""
    return select.where(rows, axis="all", metric="normalised")


EXPERIMENT = Distances()

if __name__ == "__main__":
    cli.main("distances")
