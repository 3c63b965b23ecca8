"""The experiments of a config, in order, and the report.

    python -m experiments.paper --config=configs/digits.py
    python -m experiments.paper --config=configs/digits.py --experiments=weak,sparse

Which they are without `--experiments` the config says; by default those of the three
claims.
"""

from experiments import cli, report
from linconn_jax.study import Study


def run(study: Study) -> None:
    """The study's experiments, in order, then the page.

    Raises:
      ValueError: settings make no sense for one of them, before anything is computed.
    """
    for experiment in study.experiments():
        study.tasks(experiment)
    for experiment in study.experiments():
        study.run(experiment)
    report.run(study)


if __name__ == "__main__":
    cli.main(run)
