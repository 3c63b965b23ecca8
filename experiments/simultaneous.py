"""Simultaneous weak connectivity: does ONE permutation serve all of training?

    python -m experiments.simultaneous --config=configs/digits.py

A permutation is found at every checkpoint t and applied at every checkpoint t' (where
t = t' it is matched anew), beside the naive barrier at t'; and the agreement of each P_t
with the last one, P_T, per layer.
"""

from experiments import cli
from linconn_jax import progress
from linconn_jax.study import Fit, Study, pair


def run(study: Study) -> None:
    """The full matrix of barriers, and agreements with the last permutation."""
    study.train()
    settings = study.config["simultaneous"]
    method = settings["method"]
    work = [
        (width, pair, fit_step, step)
        for width in settings["widths"]
        for pair in settings["pairs"]
        for fit_step in (None, *study.steps(width))
        for step in study.steps(width)
    ]
    for width, (a, b), fit_step, step in progress.each(
        "simultaneous", work, unit="barriers"
    ):
        chosen = "naive" if fit_step is None else method
        study.barriers(width, pair(a, b, step, method=chosen, fit_step=fit_step))
        if fit_step == step:
            fits = (Fit(method, a, b, t) for t in (step, study.last(width)))
            study.agreement(width, *fits)
    study.summarize("simultaneous")


if __name__ == "__main__":
    cli.main(run)
