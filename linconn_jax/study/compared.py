"""The experiment of `compare`: all pairs of networks that are given, and all together."""

import itertools
from collections.abc import Iterator, Sequence

from linconn_jax import align, report
from linconn_jax.report import Drawing, Selection, Table, comparing, sentences
from linconn_jax.study.experiment import Experiment
from linconn_jax.study.study import Study
from linconn_jax.study.tasks import Barrier, Task
from linconn_jax.study.vertices import pair, spanned


class Compare(Experiment):
    """Barriers of all pairs and of the simplex of all networks, by each method."""

    name = "compare"
    title = "Pairs, and the simplex of all"

    def __init__(self, resolution: int):
        self.resolution = resolution

    def tasks(self, study: Study) -> Sequence[Task]:
        """For each method the pairs, then the simplex."""
        methods = study.settings.methods
        return [task for method in methods for task in self._by(study, method)]

    def _by(self, study: Study, method: str) -> Iterator[Task]:
        networks = [study.network(study.widths[0], seed) for seed in study.seeds]
        everyone = spanned(networks, method=method)
        for i, j in itertools.combinations(range(len(networks)), 2):
            if align.method(method).joint:
                yield Barrier((everyone[i], everyone[j]))
            else:
                yield Barrier(pair(networks[i], networks[j], method=method))
        if len(networks) > 2:
            yield Barrier(everyone, self.resolution)

    def tables(self, rows: Selection) -> list[Table]:
        """Barriers by number of networks, each of them, and the networks themselves."""
        found = report.tables.barriers(rows, "pairs or simplices", column="k")
        return [*found, *comparing.each(rows.rows), *comparing.alone(rows.everything)]

    def sentences(self, rows: Selection) -> list[str]:
        """What the barriers between networks that have learnt something say."""
        return sentences.none(rows) + comparing.said(rows.rows)

    def figures(self, rows: Selection) -> list[Drawing]:
        """What lies between pairs, and between three networks."""
        return comparing.figures(rows.rows)
