"""Strong linear connectivity: one permutation a network, and all of them connected.

    python -m experiments.strong --config=configs/digits.py

At every width, by each method: pairs aligned directly, pairs whose ends are both aligned
to a third network, and simplices of three and more networks aligned to one of them;
beside the naive pair and the naive simplex.
"""

from experiments import cli
from linconn_jax import progress
from linconn_jax.study import Study, pair, spanned, through


def run(study: Study) -> None:
    """Barriers of pairs and simplices at all widths."""
    study.train()
    methods = ("naive", *study.config["strong"]["methods"])
    work = [
        (width, method, vertices, resolution)
        for width in study.widths
        for method in methods
        for vertices, resolution in _shapes(study, width, method)
    ]
    for width, _, vertices, resolution in progress.each(
        "strong", work, unit="barriers"
    ):
        study.barriers(width, vertices, resolution=resolution)
    study.summarize("strong")


def _shapes(study: Study, width: int, method: str) -> list:
    """Vertices and grid resolution of every segment and simplex."""
    step, seeds = study.last(width), study.seeds
    shapes = [(pair(a, b, step, method=method), None) for a, b in study.pairs]
    if method != "naive" and len(seeds) > 2:
        shapes += [
            (through(a, b, third(seeds, a, b), step, method=method), None)
            for a, b in study.pairs
        ]
    for k, resolution in study.config["strong"]["simplices"]:
        for first in range(len(seeds)):
            chosen = [seeds[(first + i) % len(seeds)] for i in range(k)]
            if method == "naive" and k == len(seeds) and first:
                break  # the same simplex whichever network is called its first
            shapes.append((spanned(chosen, step, method=method), resolution))
    return shapes


def third(seeds: tuple[int, ...], a: int, b: int) -> int:
    """The seed after b, in a circle, that is neither a nor b."""
    after = seeds.index(b) + 1
    return next(s for s in seeds[after:] + seeds[:after] if s not in (a, b))


if __name__ == "__main__":
    cli.main(run)
