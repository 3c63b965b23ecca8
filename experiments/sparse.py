"""Sparse sequences: does ONE permutation serve all levels of iterative pruning?

    python -m experiments.sparse --config=configs/digits.py:all

Two networks are pruned independently, level by level. A permutation is found at every
level and applied at every level (where the two are one it is matched anew): what the
dense pair's permutation does for the sparse ones, and the sparse ones' for the dense;
beside the naive barriers, a random permutation, and one that is fitted to all levels at
once.
"""

import dataclasses
from typing import ClassVar

from experiments import cli, one_permutation
from linconn_jax import checks
from linconn_jax.checks import setting
from linconn_jax.study import sequences


@dataclasses.dataclass(frozen=True)
class Settings(one_permutation.Settings):
    """Which pairs are followed along pruning, and by which methods."""

    section: ClassVar[str] = "sparse"

    random: bool = setting(True, checks.FLAG, "whether to try a random permutation")
    together: str | None = setting(
        "joint_weight_matching",
        lambda: checks.optional(sequences.joining()),
        "method that finds one permutation for all levels at once",
    )


class Sparse(one_permutation.OnePermutation):
    """The matrix of barriers over (found at one level, applied at another)."""

    name = "sparse"
    title = "One permutation for all levels of pruning"
    about = "sparse: one for all levels"
    order = 50
    asked_by_name = True
    Settings = Settings
    sequence = "levels"


EXPERIMENT = Sparse()

if __name__ == "__main__":
    cli.main("sparse")
