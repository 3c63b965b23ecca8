"""One permutation for several checkpoints at once: does that help along training?

    python -m experiments.joint --config=configs/digits.py

For sets of checkpoints, one permutation is fitted to all of a set at once (the sum of
their inner products, or what `joint_weight_matching.over` says) and applied at every
recorded epoch t', beside P_0 and P_T, found at the first and the last checkpoint, and
permutations matched anew at each t'.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from experiments import cli, one_permutation
from experiments import one_permutation_words as words
from linconn_jax import checks
from linconn_jax.checks import setting
from linconn_jax.report import Drawing, Selection, select
from linconn_jax.report.sentences import none
from linconn_jax.study import Study, Vertex, sequences

_EPOCHS = checks.several(checks.number(0), least=2, distinct=True)
_SETS = checks.several(
    checks.either(checks.whole(2), _EPOCHS).called(
        "a number of checkpoints, at least 2, or a tuple of their epochs",
        "numbers of checkpoints, at least 2, or tuples of their epochs",
    )
)


@dataclasses.dataclass(frozen=True)
class Settings(one_permutation.Settings):
    """Which sets of checkpoints, on which pairs, and by which methods."""

    section: ClassVar[str] = "joint"

    together: str = setting(
        "joint_weight_matching", sequences.joining, "that aligns several pairs at once"
    )
    sets: tuple[Any, ...] = setting(
        (3, 4, 6),
        _SETS,
        "of checkpoints: their epochs, or so many spread over those after the first",
    )


class Joint(one_permutation.OnePermutation):
    """Barriers along training of permutations that are fitted to several checkpoints."""

    name = "joint"
    title = "One permutation fitted to several checkpoints at once"
    order = 25
    asked_by_name = True
    Settings = Settings
    sequence = "steps"

    def fits(self, study: Study, vertices: Sequence[Vertex]) -> list[tuple[int, ...]]:
        """The first place, the last one, and the sets."""
        column = self.kind.column
        places = [vertex.columns(study)[column] for vertex in vertices]
        sets = [_chosen(x, places) for x in self.settings(study).sets]
        return list(dict.fromkeys([(0,), (len(places) - 1,), *sets]))

    def sentences(self, rows: Selection) -> list[str]:
        """For each width: what P_T does, and what the others do beside it."""
        found, said = self.parts(rows)[0], none(rows)
        for width in select.levels(found):
            loss = select.where(found, width=width, metric="loss")
            told = words.all_along(self.kind, loss) + words.together(self.kind, loss)
            said += [f"Width {width}: {sentence}" for sentence in told]
        return said

    def figures(self, rows: Selection) -> list[Drawing]:
        """Barriers along training."""
        return self.lines(rows)

    def panel(self, rows: Selection) -> None:
        """None: simultaneous has one of the same axes."""


def _chosen(one: int | tuple[float, ...], places: Sequence[float]) -> tuple[int, ...]:
    """The numbers of the places of a set.

    Raises:
      ValueError: an epoch is not among them.
    """
    last = len(places) - 1
    if isinstance(one, int):
        spread = np.linspace(min(1, last), last, min(one, last))
        return tuple(dict.fromkeys(int(round(x)) for x in spread))
    absent = [x for x in one if x not in places]
    if absent:
        raise ValueError(
            f"joint.sets holds epochs {absent}; they must be among the recorded ones "
            f"{[float(f'{x:.6g}') for x in places]} (checkpoints.epochs adds some)"
        )
    return tuple(sorted(places.index(x) for x in one))


EXPERIMENT = Joint()

if __name__ == "__main__":
    cli.main("joint")
