"""Mask transport: can a network be trained under the mask of another, once permuted?

    python -m experiments.transport --config=configs/digits.py:all

Pruning finds a mask in network B. It is put on the dense network A at the rewind epoch,
permuted as B is aligned to A, and A is trained to the end with its own SGD noise; beside
it A under its own mask, under B's as it is, under random masks of the same density in
each layer, and dense. And how much of the masks of A and B is in common, before and after
permuting, beside what random masks have in common.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from experiments import cli, transport_figures
from experiments import transport_words as words
from experiments.transport_figures import arms
from linconn_jax.checks import setting
from linconn_jax.report import Drawing, Selection, Table
from linconn_jax.report.sentences import drawings, none
from linconn_jax.study import Experiment, Single, Study, Task, settings
from linconn_jax.study.overlaps import Density, Overlap
from linconn_jax.study.pruned import Pruned
from linconn_jax.study.transplants import SOURCES, Transplanted, dense_alignment


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which masks go to which networks."""

    widths: tuple[int, ...] | None = settings.some_widths()
    pairs: tuple[tuple[int, int], ...] | None = setting(
        None,
        settings.OPTIONAL_PAIRS,
        "(seed, seed that its mask comes from); None: from the next one, in a circle",
    )
    method: str = setting("weight_matching", settings.aligning, "that aligns them")

    def check(self, common: settings.Settings) -> None:
        """Refuses seeds and widths that the study has not.

        Raises:
          ValueError: naming them.
        """
        common.check_part("transport", self)
        targets = [a for a, _ in self.pairs or ()]
        if len(set(targets)) < len(targets):
            raise ValueError(
                f"transport.pairs={self.pairs} give a seed two masks; each seed that "
                "comes first in a pair may do so once"
            )
        if len(common.seeds) < 2:
            raise ValueError(
                f"seeds={common.seeds}; a mask goes from one to another of at least 2"
            )


class Transport(Experiment):
    """Networks trained under masks of other origin, against sparsity."""

    name = "transport"
    title = "Mask transport"
    order = 60
    asked_by_name = True
    Settings = Settings

    def tasks(self, study: Study) -> Sequence[Task]:
        """Every arm at every level, and overlaps of masks."""
        return [
            task
            for width in study.settings.some("transport", self.settings(study).widths)
            for task in self._at(study, width)
        ]

    def _at(self, study: Study, width: int) -> Iterator[Task]:
        seeds, rule = study.seeds, study.settings.pruning
        around = zip(seeds, [*seeds[1:], seeds[0]], strict=True)
        pairs = self.settings(study).pairs or tuple(around)
        method = self.settings(study).method
        for target, _ in pairs:
            yield Single(study.network(width, target))
        for level in range(1, rule.levels + 1):
            own = Pruned.at(level, rule)
            starts = [own, *(Transplanted(own, x, pairs, method) for x in SOURCES)]
            for start in starts:
                for target, _ in pairs:
                    yield Single(study.network(width, target, start=start))
            seeds = dict.fromkeys(seed for both in pairs for seed in both)
            for seed in seeds:
                yield Density(study.network(width, seed, start=own))
            for target, source in pairs:
                ends = [study.network(width, x, start=own) for x in (target, source)]
                yield Overlap(*ends)
                moved = dense_alignment(study, width, target, source, method)
                yield Overlap(*ends, moved)

    def tables(self, rows: Selection) -> list[Table]:
        """Test accuracy of each arm, and overlaps, by level; what is left by layer."""
        return [*words.accuracies(rows), *words.overlap(rows), *words.left(rows)]

    def sentences(self, rows: Selection) -> list[str]:
        """Where the permuted mask stands between the network's own and a random one."""
        return [*none(rows), *words.between(rows)]

    def figures(self, rows: Selection) -> list[Drawing]:
        """Accuracy and overlaps against sparsity."""
        found, common = arms(rows.rows), transport_figures.overlaps(rows.rows)
        return [
            *drawings(
                "transport_accuracy", transport_figures.accuracy, found, _ACCURACY
            ),
            *drawings("transport_overlap", transport_figures.overlap, common, _OVERLAP),
        ]


_ACCURACY = (
    "Test and training accuracy at the end of training of networks that were trained "
    "from the rewind epoch under a mask, against the share of the kernels' entries that "
    "is removed: their own mask of iterative magnitude pruning, that of another network "
    "permuted as that is aligned to them (dense, at the end of training), the same as it "
    "is, and random masks of the same density in each layer; dashed: dense. Lines are "
    "means over networks, bands their range; runs near chance are among them."
)
_OVERLAP = (
    "Intersection over union of the masks of two networks, as they are and after "
    "permuting the second, and what random masks of the same densities have on average; "
    "over all kernels that are pruned, and for each. Means over pairs, bands their range."
)


EXPERIMENT = Transport()

if __name__ == "__main__":
    cli.main("transport")
