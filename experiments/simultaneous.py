"""Simultaneous weak connectivity: does ONE permutation serve all of training?

    python -m experiments.simultaneous --config=configs/digits.py

A permutation is found at every checkpoint t and applied at every checkpoint t' (where
t = t' it is matched anew), beside the naive barrier at t'; and the agreement of each P_t
with the last one, P_T, per layer, beside that of two runs on the same pair.
"""

import dataclasses
from typing import ClassVar

from experiments import cli, one_permutation


@dataclasses.dataclass(frozen=True)
class Settings(one_permutation.Settings):
    """Which pairs are followed along training, and by which methods."""

    section: ClassVar[str] = "simultaneous"


class Simultaneous(one_permutation.OnePermutation):
    """The matrix of barriers over (found at step t, applied at step t')."""

    name = "simultaneous"
    title = "Simultaneous weak linear connectivity"
    about = "simultaneous: one for all of training"
    order = 20
    Settings = Settings
    sequence = "steps"
    agreement = "agreement"


EXPERIMENT = Simultaneous()

if __name__ == "__main__":
    cli.main("simultaneous")
