"""A probe: small pieces of a study, timed on networks that stand for the real ones.

Where networks are not trained yet, some as they are initialised take their place, in a
temporary folder. One piece of work of each sort is timed, at the narrowest and the widest
networks; between them, seconds grow with the number of parameters.
"""

import functools
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from linconn_jax import progress, train, trajectory, trees
from linconn_jax.align import Alignment
from linconn_jax.study.recording import save
from linconn_jax.study.runs import Runs
from linconn_jax.study.study import Study
from linconn_jax.study.tasks import SPLITS, Task
from linconn_jax.study.vertices import AlignmentKey
from linconn_jax.trajectory import Trajectory
from linconn_jax.typing import Variables

TIMED = 0.3
"""Seconds of training that are enough to time a step."""
BATCHES = 4
"""With more batches of examples than these, the probe takes one and is scaled up."""

Sort = tuple[Hashable, int | None]
"""What takes as long as one another: the kind of work, and the width if it has one."""


class Probe(Study):
    """A study whose networks and alignments are any of the right shapes.

    Attributes:
      real: the study that it stands for.
      compiling: seconds by which first calls took longer than second ones.
    """

    def __init__(self, real: Study, folder: Path):
        super().__init__(real.config, folder, dataset=real.dataset, model=real.model)
        self.real, self.compiling, self._looked = real, 0.0, False
        self._found: dict[Hashable, tuple[Alignment, float]] = {}
        self._timers: dict[Hashable, dict[int | None, Callable[[], float]]] = {}

    def time(self, sort: Sort, timer: Callable[[], float]) -> None:
        """Enters how a sort of work can be timed."""
        kind, width = sort
        self._timers.setdefault(kind, {})[width] = timer  # the last: aligned ones

    def costs(self) -> dict[Sort, float]:
        """Seconds of one piece of each sort of work."""
        ends = [(kind, end) for kind, at in self._timers.items() for end in _ends(at)]
        found = {}
        for kind, width in progress.each("probe", ends, unit="sorts of work"):
            found[kind, width] = self._timers[kind][width]()
        for kind, timers in self._timers.items():
            known = [(self._parameters(w), found[kind, w]) for w in _ends(timers)]
            for width in timers:
                seconds = np.interp(self._parameters(width), *zip(*known, strict=True))
                found[kind, width] = float(seconds)
        return found

    def _parameters(self, width: int | None) -> int:
        if width is None:
            return 0
        return trees.size(self.real.runs(width).recipe.network.shapes)

    @functools.cache  # noqa: B019 - lives as long as the probe
    def runs(self, width: int) -> Runs:
        """The real networks where all are trained, else some as initialised."""
        real = self.real.runs(width)
        if not any(real.left(self.seeds)):
            return real
        return _Untrained(real, self)

    def examples(self, split: str) -> tuple[jax.Array, np.ndarray]:
        """The real ones of a split, or one batch of them."""
        self._looked = True
        images, labels = self.real.examples(split)
        size = self.settings.evaluate.batch_size
        few = None if len(labels) <= BATCHES * size else size
        return images[:few], labels[:few]

    def measuring(self, task: Task) -> float:
        """Seconds that a measurement takes when its alignments are there."""
        self._looked = False
        try:
            seconds = self._time(lambda: [*task.rows(self)], lambda: self.measure(task))
        except ValueError as error:  # what a stranger's task asks of real networks
            progress.say(f"  a {type(task).__name__} cannot be timed: {error}")
            return 0.0
        if not self._looked:
            return seconds
        whole, own = (
            sum(len(study.examples(split)[1]) for split in SPLITS)
            for study in (self.real, self)
        )
        return seconds * whole / own

    def alignment(self, key: AlignmentKey) -> Alignment:
        """One by the same method, of networks of the same width."""
        return self._aligned(key)[0]

    def aligning(self, key: AlignmentKey) -> float:
        """Seconds that finding an alignment takes."""
        return self._aligned(key)[1]

    def _aligned(self, key: AlignmentKey) -> tuple[Alignment, float]:
        sort = alignment_sort(key, self)
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
    """Networks as initialised, which stand at any step for those to be trained."""

    def __init__(self, real: Runs, probe: Probe):
        super().__init__(real.recipe, probe.workdir, real.steps)
        self._probe, self._init = probe, jax.jit(real.recipe.network.init)

    @functools.lru_cache(maxsize=16)  # noqa: B019 - lives as long as the probe
    def network(self, seed: int, step: int) -> Variables:
        """As initialised."""
        return jax.device_get(self._init(train.init_key(seed)))

    def group(self, seed: int) -> Trajectory:
        """One of the first step of training."""
        return self.trained[0]

    def diverged(self) -> dict[int, int]:
        """None."""
        return {}

    @functools.cached_property
    def trained(self) -> tuple[Trajectory, float]:
        """The first step of training, recorded, and seconds of one network's step."""
        began, start, seeds = time.monotonic(), self.steps[0], self._probe.seeds
        folder, definition = self._group_folder(seeds), self.recipe.definition
        trainer = self.recipe.trainer(len(seeds), at_once=self._probe.settings.at_once)
        states, one = trainer.init(seeds), (start, start + 1)
        with trajectory.record(folder, definition, seeds=seeds, steps=one) as recorder:
            save(recorder, start, states)
            states = trainer.run(states, seeds, *one)
            save(recorder, start + 1, states)
        self._probe.compiling += time.monotonic() - began
        steps, seconds = 1, 0.0
        while seconds < TIMED and steps < self.steps[-1] - start:
            steps *= 2
            began = time.monotonic()
            states = trainer.run(states, seeds, start, start + steps)
            jax.block_until_ready(states)
            seconds = time.monotonic() - began
        return trajectory.open(folder), seconds / steps / len(seeds)


def alignment_sort(key: AlignmentKey, study: Study) -> Sort:
    """The method, how many networks, and their width."""
    return (key.method, len(key.networks)), key.networks[0].columns(study)["width"]


def _ends(widths: Iterable[int | None]) -> list[int | None]:
    """The least and the largest; None is alone."""
    return sorted({min(widths), max(widths)})


def _seconds(call: Callable[[], Any]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
