"""Weak linear connectivity: does some permutation remove each pair's barrier?

    python -m experiments.weak --config=configs/digits.py

For all pairs of seeds (or the configured ones) at the end of training, at every width:
barriers of the pair as it is (naive), after a random permutation, and after aligning the
second network to the first by weight and by activation matching.
"""

from collections.abc import Sequence

from experiments import cli
from linconn_jax.study import Barrier, Experiment, Study, Task, pair


class Weak(Experiment):
    """Barriers of pairs at the end of training, against width."""

    name = "weak"
    title = "Weak linear connectivity"
    order = 10

    def tasks(self, study: Study) -> Sequence[Task]:
        """All widths, pairs and methods."""
        return [
            Barrier(
                pair(study.network(width, a), study.network(width, b), method=method)
            )
            for width in study.widths
            for a, b in study.pairs
            for method in study.settings.methods
        ]


EXPERIMENT = Weak()

if __name__ == "__main__":
    cli.main("weak")
