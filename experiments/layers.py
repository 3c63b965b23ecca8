"""Which layers settle first: permutations mixed of one found early and one at the end.

    python -m experiments.layers --config=configs/digits.py

P_t is found at every checkpoint t, P_T at the end of training. The networks at the end
are aligned by mixtures of the two: only one layer from P_t (put in), all but one (leave
out), the first so many layers (bottom up) or the last (top down), in the order in which
the network uses them. Beside them: P_t and P_T as they are, the naive pair, and mixtures
of P_T with a second run of the method on the same networks and with a random permutation.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

from experiments import cli
from experiments import layers_figures as figures
from experiments import layers_words as words
from linconn_jax import align, checks
from linconn_jax.checks import setting
from linconn_jax.report import Drawing, Selection, Table, select
from linconn_jax.report.ends import judged
from linconn_jax.report.sentences import drawings, none
from linconn_jax.study import (
    Agreement,
    AlignmentKey,
    Barrier,
    Experiment,
    Study,
    Task,
    hybrid,
    pair,
    settings,
)

CURVES = tuple(figures.TITLES)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which pairs, at which epochs, and which mixtures."""

    widths: tuple[int, ...] | None = settings.some_widths()
    pairs: tuple[tuple[int, int], ...] | None = setting(
        None,
        checks.optional(settings.PAIRS),
        "of seeds; the first and second, third and fourth, ... if None",
    )
    method: str = setting("weight_matching", settings.aligning, "that aligns them")
    draws: int = setting(
        2, checks.whole(1), "runs of it on a pair, 2 or more to see what chance does"
    )
    epochs: tuple[float, ...] | None = setting(
        None,
        checks.optional(checks.several(checks.number())),
        "at which P_t is found; all that are recorded if None",
    )
    curves: tuple[str, ...] = setting(
        CURVES, checks.several(checks.one_of(*CURVES, many="curves")), "mixtures"
    )

    def check(self, common: settings.Settings) -> None:
        """Refuses seeds and widths that the study has not.

        Raises:
          ValueError: naming them.
        """
        common.check_part("layers", self)
        if len(common.seeds) < 2:
            raise ValueError(f"seeds={common.seeds}; a pair needs at least 2 of them")


def taken(curve: str, groups: Sequence[tuple[str, ...]], k: int) -> tuple[str, ...]:
    """The names that a curve's k-th line takes from P_t; groups in the order of depth."""
    chosen = {
        "put_in": groups[k : k + 1],
        "leave_out": (*groups[:k], *groups[k + 1 :]),
        "bottom_up": groups[: k + 1],
        "top_down": groups[k:],
    }[curve]
    return tuple(name for group in chosen for name in group)


class Layers(Experiment):
    """Barriers at the end of training by permutations that are partly of epoch t."""

    name = "layers"
    title = "Which layers settle first"
    order = 35
    asked_by_name = True
    Settings = Settings

    def tasks(self, study: Study) -> Sequence[Task]:
        """All mixtures, once each; and how far each layer of P_t is that of P_T."""
        chosen, seeds = self.settings(study), study.seeds
        pairs = chosen.pairs or tuple(zip(seeds[::2], seeds[1::2], strict=False))
        return [
            task
            for width in study.settings.some("layers", chosen.widths)
            for seeds in pairs
            for task in dict.fromkeys(self._of_pair(study, width, seeds))
        ]

    def _of_pair(
        self, study: Study, width: int, seeds: tuple[int, int]
    ) -> Iterator[Task]:
        method, steps = self.settings(study).method, self._steps(study, width)
        groups = study.runs(width).recipe.network.groups
        names = tuple(name for group in groups for name in group)
        if not names:
            raise ValueError(
                f"layers: the networks of width {width} have no units that can be "
                "permuted; give layers.widths wider ones"
            )

        def key(step: int | None, method: str = method, draw: int = 0) -> AlignmentKey:
            ends = tuple(study.network(width, seed, step) for seed in seeds)
            return AlignmentKey(method, ends, draw)

        last = key(None)
        a, b = last.networks

        def mixed(other: AlignmentKey, some: tuple[str, ...]) -> Barrier:
            rest = tuple(name for name in names if name not in some)
            parts = (other, some), (last, rest)
            joint = align.method(method).joint
            return Barrier((hybrid(a, parts, 0) if joint else a, hybrid(b, parts)))

        yield Barrier(pair(a, b, method="naive"))
        yield mixed(last, names)
        early = [key(step) for step in steps]
        draws = range(1, self.settings(study).draws)
        again = [key(None, draw=draw) for draw in draws]
        chance = [] if align.method(method).joint else [key(None, "random")]
        for other in (*early, *again, *chance):
            yield mixed(other, names)
            for curve in self.settings(study).curves:
                for k in range(len(groups)):
                    yield mixed(other, taken(curve, groups, k))
        yield from (Agreement(other, last) for other in (*early, last, *again))

    def _steps(self, study: Study, width: int) -> list[int]:
        """Before the end: the recorded steps, or those of the chosen epochs."""
        *recorded, last = study.steps(width)
        epochs = self.settings(study).epochs
        if epochs is None:
            return recorded
        recipe = study.runs(width).recipe
        steps = [recipe.step_of(epoch, "layers.epochs") for epoch in epochs]
        for step, epoch in zip(steps, epochs, strict=True):
            if step not in (*recorded, last):
                each = [s / recipe.steps_per_epoch for s in (*recorded, last)]
                raise ValueError(
                    f"layers.epochs holds {epoch}, which is not recorded; recorded are "
                    f"the epochs {[float(f'{x:.3g}') for x in each]}: add it to "
                    "checkpoints.epochs"
                )
        return sorted({*steps} - {last})

    def tables(self, rows: Selection) -> list[Table]:
        """Loss barriers of every mixture, at few of the epochs."""
        found = figures.lines(rows.rows)
        if found.empty:
            return []
        return [figures.table(part, width) for width, part in found.groupby("width")]

    def sentences(self, rows: Selection) -> list[str]:
        """For each width: what the layers cost, and from when on they are settled."""
        found, said = figures.lines(rows.rows), none(rows)
        for width in select.levels(found):
            part = judged(select.where(found, width=width, metric="loss"), "width")
            if part.empty:
                said.append(f"Width {width}: no verdict, since ends are near chance.")
            elif (part["curve"] == "put_in").any():
                said += words.costs(part, width) + words.settled(part, width)
        return said

    def figures(self, rows: Selection) -> list[Drawing]:
        """Barriers at the end against the epoch of P_t, a panel for each curve."""
        found = figures.lines(rows.rows)
        agreed = select.where(rows.rows, quantity="agreement") if len(found) else found
        groups = found.dropna(subset="groups").groupby("width")["groups"].first()
        agreement = functools.partial(figures.agreement, groups=groups.to_dict())
        return [
            *drawings("layers", figures.mixtures, found, figures.MIXTURES),
            *drawings("layers_agreement", agreement, agreed, figures.AGREEMENT),
        ]


EXPERIMENT = Layers()

if __name__ == "__main__":
    cli.main("layers")
