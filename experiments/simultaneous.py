"""Simultaneous weak connectivity: does ONE permutation serve all of training?

    python -m experiments.simultaneous --config=configs/digits.py

A permutation is found at every checkpoint t and applied at every checkpoint t' (where
t = t' it is matched anew), beside the naive barrier at t'; and the agreement of each P_t
with the last one, P_T, per layer.
"""

import dataclasses
from collections.abc import Sequence

from experiments import cli
from linconn_jax.checks import setting
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


EXPERIMENT = Simultaneous()

if __name__ == "__main__":
    cli.main("simultaneous")
