"""All experiments of a config, in order, and the report.

python -m experiments.paper --config=configs/digits.py
"""

from experiments import cli, report, simultaneous, strong, trajectory, weak
from linconn_jax.study import Study


def run(study: Study) -> None:
    """Trajectory, weak, simultaneous, strong, report."""
    for experiment in (trajectory, weak, simultaneous, strong, report):
        experiment.run(study)


if __name__ == "__main__":
    cli.main(run)
