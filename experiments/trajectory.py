"""Train the networks of a config and record their trajectories.

    python -m experiments.trajectory --config=configs/vgg.py

Goes on with what was interrupted and trains only what is missing.
"""

from experiments import cli
from linconn_jax.study import Study


def run(study: Study) -> None:
    """Trains every seed at every width."""
    study.train()
    for width in study.widths:
        study.training(width)
    study.summarize("trajectory")


if __name__ == "__main__":
    cli.main(run)
