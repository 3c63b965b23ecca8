"""Strong linear connectivity: one permutation a network, and all of them connected.

    python -m experiments.strong --config=configs/digits.py

At every width, by each method: pairs aligned directly, pairs whose ends are both aligned
to a third network, and simplices of three and more networks aligned to one of them, or
jointly; beside the naive pair and the naive simplex.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from experiments import cli
from linconn_jax import align, checks
from linconn_jax.checks import setting
from linconn_jax.study import (
    Barrier,
    Experiment,
    Study,
    Task,
    pair,
    settings,
    spanned,
    through,
)

_SIMPLEX = checks.group(checks.whole(2), checks.whole(1)).called(
    "(k, resolution)",
    "(k, resolution), with k networks of at least 2 and a resolution of at least 1",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which methods, and which simplices."""

    methods: tuple[str, ...] = setting(
        ("weight_matching", "activation_matching"), settings.methods, "beside naive"
    )
    simplices: tuple[tuple[int, int], ...] = setting(
        ((3, 10),),
        checks.several(_SIMPLEX),
        "number k of networks, and resolution of the grid of points",
    )

    def check(self, common: settings.Settings) -> None:
        """Refuses simplices of more networks than there are.

        Raises:
          ValueError: naming the largest number.
        """
        most = len(common.seeds)
        for k, _ in self.simplices:
            if k > most:
                raise ValueError(
                    f"strong.simplices asks for k={k} networks; it must lie in "
                    f"2..{most}, the number of seeds"
                )


class Strong(Experiment):
    """Barriers of pairs and simplices at the end of training, against width."""

    name = "strong"
    title = "Strong linear connectivity"
    order = 30
    Settings = Settings

    def tasks(self, study: Study) -> Sequence[Task]:
        """All widths and methods."""
        return [
            task
            for width in study.widths
            for method in ("naive", *self.settings(study).methods)
            for task in self._shapes(study, width, method)
        ]

    def _shapes(self, study: Study, width: int, method: str) -> Iterator[Task]:
        """Every segment and simplex by one method."""
        networks = {seed: study.network(width, seed) for seed in study.seeds}
        joint = align.method(method).joint
        if method == "naive" or not joint:
            for a, b in study.pairs:
                yield Barrier(pair(networks[a], networks[b], method=method))
        if not joint and len(networks) > 2:
            for a, b in study.pairs:
                c = third(study.seeds, a, b)
                ends = through(networks[a], networks[b], networks[c], method=method)
                yield Barrier(ends)
        for k, resolution in self.settings(study).simplices:
            for first in range(len(networks)):
                if joint and k == len(networks) and first:
                    break  # the same simplex whichever network is called its first
                seeds = [study.seeds[(first + i) % len(networks)] for i in range(k)]
                chosen = [networks[seed] for seed in seeds]
                yield Barrier(spanned(chosen, method=method), resolution)


def third(seeds: tuple[int, ...], a: int, b: int) -> int:
    """The seed after b, in a circle, that is neither a nor b."""
    after = seeds.index(b) + 1
    return next(s for s in seeds[after:] + seeds[:after] if s not in (a, b))


EXPERIMENT = Strong()

if __name__ == "__main__":
    cli.main("strong")
