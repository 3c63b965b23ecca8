"""Which method aligns best? All registered methods on the same pairs.

    python -m experiments.methods --config=configs/digits.py

At the end of training: the barrier of every pair by each method, as it is and by other
options of it (`methods_compared.variants`), beside naive and a random permutation; what
each method says of its own objective; how near the permuted weights come; and on which
fraction of units two methods agree.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments import cli
from experiments import methods_figures as figures
from experiments import methods_tables as told
from experiments.methods_figures import named
from linconn_jax import align, checks, declared
from linconn_jax.checks import Kind, setting
from linconn_jax.report import Drawing, Selection, Table, select, tables
from linconn_jax.report.sentences import drawings, facts, none
from linconn_jax.study import (
    Agreement,
    AlignmentKey,
    Barrier,
    Distance,
    Experiment,
    Objective,
    Study,
    Task,
    pair,
    settings,
)

SECTION = "methods_compared"


def _methods() -> Kind:
    return checks.optional(settings.methods())


def _variants() -> Kind:
    one = checks.group(settings.aligning(), checks.DICT)
    return checks.several(one).called("a tuple of (method, {option: value})")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which methods are compared, and with which of their options."""

    widths: tuple[int, ...] | None = setting(
        None, settings.OPTIONAL_WIDTHS, "some of all widths; None: all"
    )
    methods: tuple[str, ...] | None = setting(
        None,
        _methods,
        "beside naive and random; None: all that align two networks",
    )
    variants: tuple[tuple[str, dict[str, Any]], ...] = setting(
        (
            ("activation_matching", {"similarity": "pearson"}),
            ("activation_matching", {"similarity": "cosine"}),
        ),
        _variants,
        "methods once more with other options, as far as the methods take part",
    )

    def check(self, common: settings.Settings) -> None:
        """Refuses widths that the study has not, and options that a method has not.

        Raises:
          ValueError: naming them.
        """
        common.check_part(SECTION, self)
        for method, changes in self.variants:
            _options(method, changes, common)


def _options(method: str, changes: Mapping[str, Any], common: settings.Settings) -> Any:
    """The settings of a method in the study, with changes.

    Raises:
      ValueError: it has no such options, or they cannot have these values.
    """
    declaring, at = align.method(method).settings, f"{SECTION}.variants of {method}: "
    if declaring is None:
        raise ValueError(
            f"{SECTION}.variants has {changes} for {method}, which has no options"
        )
    known = [field.name for field in dataclasses.fields(declaring)]
    declared.refuse_unknown(changes, [f"{at}{name}" for name in known], at)
    return declared.build(declaring, {**vars(common.sections[method]), **changes}, at)


class Methods(Experiment):
    """Barriers, objectives, distances and agreements of all methods."""

    name = "methods"
    title = "Methods of alignment compared"
    order = 80
    asked_by_name = True
    Settings = Settings
    section = SECTION

    def compared(self, study: Study) -> list[tuple[str, Any]]:
        """Each method with the settings that replace the study's, None of none."""
        own = self.settings(study)
        chosen = own.methods
        if chosen is None:  # others do of two networks what a method of two does
            known = align.methods().items()
            chosen = [
                x for x, method in known if not (method.sequences or method.joint)
            ]
        found = dict.fromkeys((method, None) for method in ("naive", "random", *chosen))
        for method, changes in own.variants:
            options = _options(method, changes, study.settings)
            if method in chosen and options != study.settings.sections[method]:
                found[method, options] = None
        return [*found]

    def tasks(self, study: Study) -> Sequence[Task]:
        """All widths and pairs."""
        widths, compared = self.settings(study).widths, self.compared(study)
        return [
            task
            for width in study.widths
            if widths is None or width in widths
            for seeds in study.pairs
            for task in self._of_pair(study, width, seeds, compared)
        ]

    def _of_pair(
        self,
        study: Study,
        width: int,
        seeds: tuple[int, int],
        compared: Sequence[tuple[str, Any]],
    ) -> Iterator[Task]:
        ends = tuple(study.network(width, seed) for seed in seeds)
        for method, options in compared:
            moved = pair(*ends, method=method, options=options)
            yield Barrier(moved)
            yield Distance(moved)
        keys = [
            AlignmentKey(method, ends, options=options) for method, options in compared
        ]
        yield from map(Objective, keys)
        yield from itertools.starmap(Agreement, itertools.combinations(keys, 2))

    def tables(self, rows: Selection) -> list[Table]:
        """Barriers; objectives and distances; agreements."""
        own = dataclasses.replace(
            rows,
            **{part: _renamed(getattr(rows, part)) for part in ("rows", "left_out")},
        )
        found = named(rows.rows)
        barriers = tables.barriers(own, "pairs")
        return [*barriers, *told.objectives(found), *told.agreements(found)]

    def sentences(self, rows: Selection) -> list[str | Table]:
        """Which method has the lowest barrier, and in how many pairs."""
        found = named(rows.rows)
        said = (told.lowest(found), told.at_the_end(found), told.no_use(found))
        return [*none(rows), *itertools.chain(*said)]

    def figures(self, rows: Selection) -> list[Drawing]:
        """Barriers against width, and how far methods agree."""
        found = named(rows.rows)
        barriers = select.barriers(found)
        agreed = select.where(found, quantity="agreement", axis="all")
        drawn = drawings(
            "methods_barriers", figures.against_width, barriers, figures.BARRIERS
        )
        if len(agreed):
            words = f"{figures.AGREEMENT} {facts(agreed, counted=False)}"
            made = figures.agreement(agreed)
            drawn.append(Drawing("methods_agreement", made, words))
        return drawn


def _renamed(rows: Any) -> Any:
    """Rows that call the method as the figures do, where it has several variants."""
    found = named(rows)
    several = found["name"] != found["label"]
    return found.assign(method=found["method"].mask(several, found["name"]))


EXPERIMENT = Methods()

if __name__ == "__main__":
    cli.main("methods")
