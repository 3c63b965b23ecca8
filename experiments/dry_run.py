"""What experiments would take: how much is to do, exactly, and how long, roughly.

Measurements are known before anything is computed, and so are counted. For the time, one
piece of each sort of work is done twice in a temporary folder, at the narrowest and the
widest networks that it is to do for; between them, seconds grow with the number of
parameters.
"""

import copy
import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import counts
from linconn_jax import progress, report, trees
from linconn_jax.machine import size
from linconn_jax.study import AlignmentKey, Experiment, Runs, Study, Task, budget
from linconn_jax.study.starts import Start
from linconn_jax.study.tasks import SPLITS, alignments
from linconn_jax.typing import Variables

TIMED = 0.3
"""Seconds of training that are enough to time a step."""
BATCHES = 4
"""With more batches of examples than these, the probe takes one and is scaled up."""

Sort = tuple[str, int | None]
"""What takes as long as one another: the kind of work, and the width if it has one."""
Piece = Task | AlignmentKey | None
"""A measurement, an alignment, or (None) a step of one network's training."""
Part = tuple[tuple, list[tuple[Sort, Piece, int]]]
"""A line of a table but for its time; and the work: a piece of a sort, and how often."""


def dry_run(study: Study, experiments: Iterable[Experiment]) -> str:
    """Tables of what is to train and to measure; nothing is written to the workdir.

    What several experiments ask for is to do in the first of them.

    Raises:
      ValueError: settings make no sense, or this is one of several processes.
    """
    if jax.process_count() > 1:
        raise ValueError("several processes are running; --dry_run takes a single one")
    began = time.monotonic()
    study.check()
    asked = [(each, study.tasks(each)) for each in experiments]
    tasks = [task for _, several in asked for task in several]
    trained = [_training(found) for found in counts.networks(study, tasks)]
    seen: set[Hashable] = set()
    measured = [_measurements(study, *each, seen) for each in asked]
    pieces = {sort: x for _, work in trained + measured for sort, x, _ in work}
    with tempfile.TemporaryDirectory() as folder:
        probe = _Probe(study, Path(folder))
        costs = probe.costs(pieces)
    said, total = [], 0.0
    for table, parts in ((_TRAINED, trained), (_MEASURED, measured)):
        lines = []
        for cells, work in parts:
            seconds = sum((costs[sort] * often for sort, _, often in work), 0.0)
            total += seconds
            lines.append([*map(str, cells), progress.duration(seconds)])
        said += [report.Table(*table, lines).text(), ""]
    passed = progress.duration(time.monotonic() - began)
    compiling = progress.duration(probe.compiling)
    said += [
        f"about {progress.duration(total)} in all, by a probe of {passed}, and at most",
        f"{compiling} for compilation, as far as it is not cached",
    ]
    return "\n".join(said)


_TRAINED = (
    "Networks to train",
    ("width", "networks", "done", "to do", "disk needed", "time"),
)
_MEASURED = (
    "Measurements, and alignments for them; what two ask for is to do in the first",
    ("experiment", "measurements", "done", "to do", "to align", "time"),
)


def _training(found: counts.Training) -> Part:
    """The networks of one width and kind."""
    disk = sum(budget.need(*group).disk for group in found.groups)
    work = [(("training", found.width), None, sum(found.left))] if found.to_do else []
    told = (found.name, len(found.left), found.done, found.to_do, size(disk))
    return told, work


def _measurements(
    study: Study, experiment: Experiment, tasks: list[Task], seen: set[Hashable]
) -> Part:
    """The measurements of an experiment, without what is in `seen`; adds them to it."""
    found = counts.measurements(study, experiment.name, tasks, seen)
    work = [
        (_sort(a.networks[0].columns(study), a.method, len(a.networks)), a, 1)
        for a in found.to_align
    ]
    for key, task in found.to_do:
        if not key.get("diverged"):  # of those nothing is computed
            told = map(key.get, ("family", "k", "points"))
            work.append((_sort(key, type(task), *told), task, 1))
    told = (found.asked, len(found.done), len(found.to_do), len(found.to_align))
    return (experiment.name, *told), work


def _sort(columns: Mapping[str, Any], *kind: Any) -> Sort:
    """Of networks of several widths, the widths are part of the kind."""
    width = columns.get("width")
    return (str(kind), width) if isinstance(width, int) else (str((kind, width)), None)


class _Untrained(Runs):
    """Networks as initialised, which stand at any step for those to be trained."""

    def network(self, seed: int, step: int) -> Variables:
        """As initialised."""
        return super().network(seed, 0)

    def standing_for(self, real: Runs) -> "_Untrained":
        """The same with the steps and the origin of others."""
        other = copy.copy(self)
        other.steps, other.origin = real.steps, real.origin
        return other


class _Probe(Study):
    """The study in a temporary folder, with few examples and untrained networks.

    Attributes:
      compiling: seconds by which first calls took longer than later ones.
    """

    def __init__(self, real: Study, folder: Path):
        self._real, self.compiling = real, 0.0
        size, config = real.settings.evaluate.batch_size, dict(real.config)
        whole = [len(real.examples(split)[1]) for split in SPLITS]
        if max(whole) > BATCHES * size:
            config["evaluate"] = {**config.get("evaluate", {}), "examples": size}
        super().__init__(config, folder, dataset=real.dataset, model=real.model)
        self._more = sum(whole) / sum(len(self.examples(split)[1]) for split in SPLITS)

    @functools.cache  # noqa: B019 - lives as long as the probe
    def runs(self, width: int, start: Start | None = None) -> Runs:
        """The real networks where all are trained, else some as initialised."""
        real = self._real.runs(width, start)
        if not any(real.left(self.seeds)):
            return real
        if start is not None:
            return self._untrained(width).standing_for(real)
        return self._untrained(width)

    @functools.cache  # noqa: B019
    def _untrained(self, width: int) -> "_Untrained":
        real = self._real.runs(width)
        recipe = dataclasses.replace(real.recipe, copies=None)  # copies are all alike
        made = _Untrained(recipe, self.workdir, ())
        made.ensure(self.seeds, at_once=self.settings.at_once)
        return made

    def costs(self, pieces: dict[Sort, Piece]) -> dict[Sort, float]:
        """Seconds of one piece of each sort of work."""
        found, kinds = {}, [*dict.fromkeys(kind for kind, _ in pieces)]
        for kind in progress.each("probe", kinds, unit="kinds of work"):
            widths = sorted(width for k, width in pieces if k == kind)
            sizes = [self._parameters(width) for width in widths]
            ends = [i for i in (0, -1) if len(widths) + i]  # one width is one end
            known = [self._cost(pieces[kind, widths[i]], widths[i]) for i in ends]
            costs = np.interp(sizes, [sizes[i] for i in ends], known).tolist()
            found |= {(kind, w): cost for w, cost in zip(widths, costs, strict=True)}
        return found

    def _parameters(self, width: int | None) -> int:
        return trees.size(width and self._real.runs(width).recipe.network.shapes)

    def _cost(self, piece: Piece, width: int | None) -> float:
        """Seconds of a piece when it is done again, so that all is compiled."""
        scale = 1.0
        if piece is None:
            passed = self._training(width)
        elif isinstance(piece, AlignmentKey):
            passed = [_seconds(self.alignments.find, piece) for _ in range(2)]
        else:
            try:
                for key in alignments(piece):
                    self.alignment(key)
                passed = [_seconds(lambda: [*piece.rows(self)])]
                passed.append(_seconds(self.measure, piece))
            except ValueError as error:  # what a stranger's task asks of real networks
                progress.say(f"  a {type(piece).__name__} cannot be timed: {error}")
                return 0.0
            scale = self._more if "limit" in piece.key(self) else 1.0
        self.compiling += max(passed[0] - passed[-1], 0)
        return passed[-1] * scale

    def _training(self, width: int) -> tuple[float, float]:
        """Seconds of the first step, and of one network's step later on."""
        seeds = self.seeds
        made, at_once = self.runs(width).recipe, self.settings.at_once
        trainer = made.trainer(len(seeds), at_once=at_once)
        states, passed = trainer.init(seeds), []
        while len(passed) < 2 or passed[-1] < TIMED:
            began, steps = time.monotonic(), 2 ** len(passed)
            states = jax.block_until_ready(trainer.run(states, seeds, 0, steps))
            passed.append(time.monotonic() - began)
        return passed[0], passed[-1] / steps / len(seeds)


def _seconds(call: Callable[..., Any], *args: Any) -> float:
    began = time.monotonic()
    call(*args)
    return time.monotonic() - began
