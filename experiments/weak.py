"""Weak linear connectivity: does some permutation remove each pair's barrier?

    python -m experiments.weak --config=configs/digits.py

For all pairs of seeds (or the configured ones) at the end of training, at every width:
barriers of the pair as it is (naive), after a random permutation, and after aligning the
second network to the first by weight and by activation matching.
"""

from experiments import cli
from linconn_jax import progress
from linconn_jax.study import Study, pair


def run(study: Study) -> None:
    """Barriers of all pairs, methods and widths."""
    study.train()
    work = [
        (width, pair, method)
        for width in study.widths
        for pair in study.pairs
        for method in study.config["methods"]
    ]
    for width, (a, b), method in progress.each("weak", work, unit="barriers"):
        last = study.last(width)
        study.barriers(width, pair(a, b, last, method=method))
    study.summarize("weak")


if __name__ == "__main__":
    cli.main(run)
