"""Figures and one page from the rows that the experiments stored.

    python -m experiments.report --config=configs/digits.py

Reads only; computes nothing.
"""

import os

from experiments import cli
from linconn_jax import parallel, progress, report
from linconn_jax.study import Study, experiments


def run(study: Study) -> None:
    """Writes figures (PNG, PDF) and index.html under workdir/report."""
    if parallel.is_main_process():
        page = report.write(study.workdir, [*experiments().values()])
        progress.say(f"the report is {os.path.relpath(page)}; open it in a browser")


if __name__ == "__main__":
    cli.main(run)
