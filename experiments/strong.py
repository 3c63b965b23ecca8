"""Strong linear connectivity: one permutation a network, and all of them connected.

    python -m experiments.strong --config=configs/digits.py

At every width, beside the naive pair and the naive simplex: by methods of two networks
pairs aligned directly, pairs whose ends are both aligned to a third network, and
simplices of three and more networks aligned to one of them, their reference; by methods
that take all networks at once the same pairs and simplices; and how much of the barrier
through a reference was the matcher's fault.

`--config.strong.methods="('weight_matching','fused_matching','learned')"` adds alignment
learned through the loss, which trains for every simplex anew.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes

from experiments import cli, strong_figures, strong_words
from experiments.strong_figures import kinds
from linconn_jax import align, checks
from linconn_jax.checks import setting
from linconn_jax.report import Drawing, Selection, Table, lines, select, style, tables
from linconn_jax.report.sentences import DOTS, drawings
from linconn_jax.report.triangles import triangles
from linconn_jax.study import (
    Barrier,
    Experiment,
    Network,
    Study,
    Task,
    Vertex,
    once,
    pair,
    settings,
    spanned,
    through,
)

_SIMPLEX = checks.group(checks.whole(3), checks.whole(1)).called(
    "(k, resolution)",
    "(k, resolution), with k networks of at least 3 and a resolution of at least 1",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which methods, and which simplices."""

    methods: tuple[str, ...] = setting(
        ("weight_matching", "activation_matching", "fused_matching"),
        settings.methods,
        "beside naive; of them fused_matching, merge_many, frank_wolfe and learned take "
        "all networks at once",
    )
    simplices: tuple[tuple[int, int], ...] = setting(
        ((3, 10),),
        checks.several(_SIMPLEX),
        "number k of networks, and resolution of the grid of points",
    )
    through: str = setting(
        "each",
        checks.one_of("each", "inverse"),
        "how pairs are aligned to a third network: each end by a fit of its own, or by "
        "the one fit of its pair (later seeds to earlier ones) or the inverse",
        added=True,
    )

    def check(self, common: settings.Settings) -> None:
        """Refuses simplices of more networks than there are, or on two grids.

        Raises:
          ValueError: naming the number of networks.
        """
        most, sizes = len(common.seeds), [k for k, _ in self.simplices]
        for k in sizes:
            if k > most:
                raise ValueError(
                    f"strong.simplices asks for k={k} networks; it must lie in "
                    f"3..{most}, the number of seeds"
                )
            if sizes.count(k) > 1:
                raise ValueError(
                    f"strong.simplices={self.simplices} has k={k} twice; barriers on two "
                    "grids cannot be averaged: give each k one resolution"
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
        moved = dict(
            zip(networks, spanned([*networks.values()], method=method), strict=True)
        )
        for a, b in study.pairs:
            together = (moved[a], moved[b])  # by one joint alignment of all
            apart = pair(networks[a], networks[b], method=method)
            yield Barrier(together if joint else apart)
        if not joint and len(networks) > 2:
            for a, b in study.pairs:
                c = third(study.seeds, a, b)
                yield Barrier(self._through(study, networks, (a, b, c), method))
        for k, resolution in self.settings(study).simplices:
            for first in range(len(networks)):
                if joint and k == len(networks) and first:
                    break  # the same simplex whichever network is called its first
                seeds = [study.seeds[(first + i) % len(networks)] for i in range(k)]
                chosen = [networks[seed] for seed in seeds]
                yield Barrier(spanned(chosen, method=method), resolution)

    def _through(
        self,
        study: Study,
        networks: dict[int, Network],
        seeds: tuple[int, int, int],
        method: str,
    ) -> tuple[Vertex, ...]:
        """A segment of two networks aligned to the third."""
        *ends, third = (networks[seed] for seed in seeds)
        if method == "naive" or self.settings(study).through == "each":
            return through(*ends, third, method=method)
        order = [*networks.values()]
        return tuple(once(end, third, method=method, order=order) for end in ends)

    def tables(self, rows: Selection) -> list[Table]:
        """Barriers by width, method and kind of simplex."""
        return tables.barriers(rows, "pairs or simplices", kinds=kinds)

    def sentences(self, rows: Selection) -> list[str | Table]:
        """Where error barriers are low, and how much of them is the matcher's fault."""
        return strong_words.said(rows)

    def figures(self, rows: Selection) -> list[Drawing]:
        """Barriers against width, and the loss over triangles."""
        barriers = select.barriers(rows.rows, split="train")
        barriers = barriers if select.methods(barriers, aligning=True) else barriers[:0]
        chosen = strong_figures.first_three(rows.rows)
        points = select.where(chosen, quantity="value")
        return [
            *drawings(
                "strong_width",
                strong_figures.against_width,
                barriers,
                f"{_WIDTH} {_INVERSE}" if _inverted(barriers) else _WIDTH,
            ),
            *drawings(
                "simplex_triangle", lambda _: triangles(chosen), points, _TRIANGLE
            ),
        ]

    def panel(self, rows: Selection) -> Callable[[Axes], None] | None:
        """Loss barriers of the first methods of two and of more networks."""
        found = select.barriers(rows.rows, split="train", metric="loss")
        there = select.methods(found, aligning=True)
        return functools.partial(_panel, found) if there else None


_WIDTH = (
    "Training barrier against width of pairs and of simplices of networks. Thin solid: "
    "pairs, the later network aligned to the earlier; dashed: through a reference, pairs "
    "with both ends aligned to a third network and simplices with all aligned to one of "
    "them; thick: all networks aligned at once. "
    + DOTS.format(what="pairs or simplices")
)
_INVERSE = (
    "Of two networks the later seed is aligned to the earlier one by a fit, and the "
    "earlier to the later by its inverse."
)
_TRIANGLE = (
    "Training loss at every point of the triangle that three networks span, naive and "
    "after aligning the others to the first. What is aligned has a colour scale of its "
    "own."
)


def _panel(rows: pd.DataFrame, axes: Axes) -> None:
    axes.set_title("strong: one permutation a network")
    strong_figures.overview(axes, rows)
    style.level_axis(axes, select.levels(rows))
    lines.panel(axes, rows["value"].max())


def _inverted(rows: pd.DataFrame) -> bool:
    """Whether a network is moved by the inverse of a fit."""
    return any(vertex.get("inverse") for found in rows["vertices"] for vertex in found)


def third(seeds: tuple[int, ...], a: int, b: int) -> int:
    """The seed after b, in a circle, that is neither a nor b."""
    after = seeds.index(b) + 1
    return next(s for s in seeds[after:] + seeds[:after] if s not in (a, b))


EXPERIMENT = Strong()

if __name__ == "__main__":
    cli.main("strong")
