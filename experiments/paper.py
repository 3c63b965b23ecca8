"""All experiments, in order, and the report.

python -m experiments.paper --config=configs/digits.py
"""

from experiments import cli, report
from linconn_jax.study import Study, experiments


def run(study: Study) -> None:
    """Every experiment that is registered, then the page.

    Raises:
      ValueError: settings make no sense for one of them, before anything is computed.
    """
    for experiment in experiments().values():
        study.tasks(experiment)
    for experiment in experiments().values():
        study.run(experiment)
    report.run(study)


if __name__ == "__main__":
    cli.main(run)
