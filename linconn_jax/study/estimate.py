"""What experiments would take: how much is to do, exactly, and how long, roughly.

Measurements are known before anything is computed, and so are counted. The time comes
from a probe: networks after one step of training, in a temporary folder, stand for the
real ones, and one measurement of each sort is made on them.
"""

import dataclasses
import functools
import json
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from linconn_jax import files, progress
from linconn_jax.align import Alignment
from linconn_jax.files import Key
from linconn_jax.report import Table
from linconn_jax.study.experiment import Experiment
from linconn_jax.study.recording import Seeds, record
from linconn_jax.study.runs import Runs
from linconn_jax.study.study import Study, alignments
from linconn_jax.study.tasks import SPLITS, Task
from linconn_jax.study.vertices import AlignmentKey
from linconn_jax.typing import Variables

TIMED = 0.3
"""Seconds of training that are enough to time a step."""
BATCHES = 4
"""With more batches of examples than these, the probe takes one and is scaled up."""


def dry_run(study: Study, experiments: Iterable[Experiment]) -> str:
    """Tables of what is to train and to measure; nothing is written to the workdir.

    What several experiments ask for is to do in the first of them.

    Raises:
      ValueError: settings make no sense, or this is one of several processes.
    """
    if jax.process_count() > 1:
        raise ValueError(
            f"there are {jax.process_count()} processes; estimate in a single one"
        )
    began = time.monotonic()
    study.check()
    left = {width: study.runs(width).left(study.seeds) for width in study.widths}
    plans = _plans(study, experiments)
    costs: dict[Hashable, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        probe = _Probe(study, Path(folder))
        training = {
            w: sum(x) * getattr(probe.runs(w), "pace", 0) for w, x in left.items()
        }
        sorts = {_sort(*each): each[0] for plan in plans for each in plan.to_do}
        for sort, task in progress.each("probe", list(sorts.items()), unit="sorts"):
            costs[sort] = probe.measuring(task)
        seconds = [
            sum(costs[_sort(*each)] for each in plan.to_do)
            + sum(probe.aligning(key) for key in plan.alignments)
            for plan in plans
        ]
    networks = [
        (
            f"{width}",
            len(x),
            x.count(0),
            len(x) - x.count(0),
            _duration(training[width]),
        )
        for width, x in left.items()
    ]
    measured = [
        (p.name, p.asked, p.stored, len(p.to_do), len(p.alignments), _duration(t))
        for p, t in zip(plans, seconds, strict=True)
    ]
    total = _duration(sum(training.values()) + sum(seconds))
    return "\n".join(
        [
            _table("Networks", "width|asked for|done|to do|time", networks),
            "",
            _table(
                "Measurements, and alignments to find for them",
                "experiment|asked for|done|to do|to align|time",
                measured,
            ),
            "",
            f"about {total} in all, and up to {_duration(probe.compiling)} for compilation:"
            f" estimated by a probe of {_duration(time.monotonic() - began)}",
        ]
    )


def _table(caption: str, headers: str, lines: Sequence[Sequence[Any]]) -> str:
    cells = [[str(cell) for cell in line] for line in lines]
    return Table(caption, headers.split("|"), cells).text()


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What one experiment asks for.

    Attributes:
      asked: number of measurements.
      stored: how many of them are on disk.
      to_do: the others, but for those of an experiment before it, with their keys.
      alignments: to be found for these.
    """

    name: str
    asked: int
    stored: int
    to_do: list[tuple[Task, Key]]
    alignments: list[AlignmentKey]


def _plans(study: Study, experiments: Iterable[Experiment]) -> list[_Plan]:
    plans: list[_Plan] = []
    seen: set[Hashable] = set()
    for experiment in experiments:
        keyed = [(task, task.key(study)) for task in study.tasks(experiment)]
        asked = {files.digest(key): (task, key) for task, key in keyed}
        stored = {digest for digest, (_, key) in asked.items() if study.stored(key)}
        to_do = [each for digest, each in asked.items() if digest not in stored | seen]
        found = {
            a for t, key in to_do if not key.get("diverged") for a in alignments(t)
        }
        lacking = [key for key in found - seen if not study.stored(key)]
        plans.append(_Plan(experiment.name, len(asked), len(stored), to_do, lacking))
        seen |= asked.keys() | found
    return plans


def _sort(task: Task, key: Key) -> Hashable:
    """Measurements of one sort take about the same time."""
    columns = [key.get(name) for name in ("model", "width", "k", "points")]
    return type(task), json.dumps(columns), len(alignments(task))


class _Probe(Study):
    """A study whose networks and alignments are any of the right shapes.

    Attributes:
      compiling: seconds by which first calls took longer than second ones.
    """

    def __init__(self, study: Study, folder: Path):
        super().__init__(study.config, folder, dataset=study.dataset, model=study.model)
        self._real, self.compiling, self._looked = study, 0.0, False
        self._found: dict[Hashable, tuple[Alignment, float]] = {}

    @functools.cache  # noqa: B019 - lives as long as the probe
    def runs(self, width: int) -> Runs:
        """The real networks where all are trained, else some after one step."""
        real = self._real.runs(width)
        if not any(real.left(self.seeds)):
            return real
        made = _Untrained(real.recipe, self.workdir, real.steps)
        self.compiling += made.probe(self.seeds, self.settings.at_once)
        return made

    def examples(self, split: str) -> tuple[jax.Array, np.ndarray]:
        """The real ones of a split, or one batch of them."""
        self._looked = True
        images, labels = self._real.examples(split)
        size = self.settings.evaluate.batch_size
        few = None if len(labels) <= BATCHES * size else size
        return images[:few], labels[:few]

    def alignment(self, key: AlignmentKey) -> Alignment:
        """One by the same method, of networks of the same width."""
        return self._aligned(key)[0]

    def measuring(self, task: Task) -> float:
        """Seconds that a measurement takes whose alignments are found."""
        self._looked = False
        seconds = self._time(lambda: list(task.rows(self)), lambda: self.measure(task))
        if not self._looked:
            return seconds
        real, own = (
            sum(len(study.examples(split)[1]) for split in SPLITS)
            for study in (self._real, self)
        )
        return seconds * real / own

    def aligning(self, key: AlignmentKey) -> float:
        """Seconds that finding an alignment takes."""
        return self._aligned(key)[1]

    def _aligned(self, key: AlignmentKey) -> tuple[Alignment, float]:
        sort = key.method, key.networks[0].width, len(key.networks)
        if sort not in self._found:
            find, keep = self._alignments.find, self._alignments.get
            seconds = self._time(lambda: find(key), lambda: keep(key))
            self._found[sort] = keep(key), seconds
        return self._found[sort]

    def _time(self, first: Callable[[], Any], second: Callable[[], Any]) -> float:
        """Seconds of the second call; the first one has compiled what it needs."""
        one, two = _seconds(first), _seconds(second)
        self.compiling += max(one - two, 0)
        return two


class _Untrained(Runs):
    """Networks that stand, at any step, for those that are to be trained.

    Attributes:
      pace: seconds of one network's step.
    """

    pace = 0.0

    def probe(self, seeds: tuple[int, ...], at_once: int | None) -> float:
        """Records one step of training and times some; seconds of compilation."""
        start, trainer = self.steps[0], self.recipe.trainer(len(seeds), at_once=at_once)
        compiling = _seconds(
            lambda: record(
                trainer,
                self._group_folder(seeds),
                self.recipe.definition,
                seeds=Seeds(seeds, seeds, seeds),
                steps=(start, start + 1),
            )
        )
        self._groups = self._stored()
        states, steps, seconds = trainer.init(seeds), 1, 0.0
        while seconds < TIMED and steps < self.steps[-1] - start:
            steps *= 2
            began = time.monotonic()
            states = trainer.run(states, seeds, start, start + steps)
            jax.block_until_ready(states)
            seconds = time.monotonic() - began
        self.pace = seconds / steps / len(seeds)
        return compiling

    def network(self, seed: int, step: int) -> Variables:
        """As initialised."""
        return super().network(seed, self.steps[0])

    def diverged(self) -> dict[int, int]:
        """None."""
        return {}


def _seconds(call: Callable[[], Any]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def _duration(seconds: float) -> str:
    for limit, size, unit in ((100, 1, "s"), (6000, 60, "min")):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 3600:.3g} h"
