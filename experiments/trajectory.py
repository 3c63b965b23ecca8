"""Train the networks of a config and record their trajectories.

    python -m experiments.trajectory --config=configs/vgg.py

Goes on with what was interrupted and trains only what is missing.
"""

from collections.abc import Sequence

from experiments import cli
from linconn_jax.study import Experiment, Study, Task, Training


class Trajectory(Experiment):
    """Loss and error of every seed along training."""

    name = "trajectory"
    title = "Training"
    order = 0

    def tasks(self, study: Study) -> Sequence[Task]:
        """Every seed at every width."""
        return [Training(width, s) for width in study.widths for s in study.seeds]


EXPERIMENT = Trajectory()

if __name__ == "__main__":
    cli.main("trajectory")
