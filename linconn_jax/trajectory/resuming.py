"""What of a training run is still to do, and where it can be gone on from.

Every checkpoint holds the networks. What training needs beside them to go on (`resume`:
the state of the optimiser, as large again) is kept at the newest checkpoint, at steps
that are named, and wherever something that is missing is made anew from.
"""

import bisect
import dataclasses
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from linconn_jax.typing import PyTree, Variables


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint as host arrays, padding removed.

    Attributes:
      step: SGD steps taken.
      variables: arrays with a leading axis of seeds, see `open`.
      resume: what was saved as `resume`, in the structure asked for.
      diverged: int array [seeds]; -1, or the step at which a seed stopped being finite.
      metrics: arrays [seeds] by name.
    """

    step: int
    variables: Variables
    resume: PyTree
    diverged: np.ndarray
    metrics: dict[str, np.ndarray]


class Stretch(NamedTuple):
    """A part of training that is to be done.

    Attributes:
      start: recorded step from which it goes on; None: from the first, made anew.
      stop: step at which it ends. If that is recorded already, it shows that what was
        made anew has the same bits.
    """

    start: int | None
    stop: int


class Ledger:
    """The steps of a run, in memory and so the same in all of its processes.

    Attributes:
      planned: steps to be recorded, ascending.
      resume_at: steps at which `resume` is kept for good.
      recorded: steps with a finished checkpoint.
      resumable: those of them that hold `resume`.
    """

    def __init__(
        self,
        planned: Iterable[int],
        recorded: Iterable[int] = (),
        resumable: Iterable[int] = (),
        resume_at: Iterable[int] = (),
    ):
        self.planned, self.resume_at = tuple(planned), frozenset(resume_at)
        self.recorded, self.resumable = set(recorded), set(resumable)

    def to_do(self, also: Collection[int] = ()) -> tuple[Stretch, ...]:
        """What is missing, from the nearest steps that it can be made from.

        Args:
          also: steps to be taken as resumable, too.
        """
        resumable = sorted(self.resumable | set(also))
        later, stops = self.planned[-1], {}
        for step in reversed(self.planned):
            stops[step] = later
            later = step if step in self.recorded else later
        found: list[Stretch] = []
        for step in self.planned:
            before = bisect.bisect_right(resumable, step)
            start = resumable[before - 1] if before else None
            if step not in self.recorded:
                stop = stops[step]
            elif step in self.resume_at and start != step:
                stop = step
            else:
                continue
            if found and (start is None or start <= found[-1].stop):
                start = found.pop().start
            found.append(Stretch(start, stop))
        return tuple(found)

    def add(self, step: int) -> None:
        """Enters a whole checkpoint."""
        self.recorded.add(step)
        self.resumable.add(step)

    def fills_a_gap(self, step: int) -> bool:
        """Whether later steps are recorded, but not this one."""
        return step not in self.recorded and step < max(self.recorded, default=-1)

    def lacks_resume(self, step: int) -> bool:
        """Whether a recorded step does not hold `resume` and something needs it."""
        if step in self.resumable:
            return False
        starts = {stretch.start for stretch in self.to_do(also=(step,))}
        return step in starts | self.resume_at

    def superfluous(self) -> list[int]:
        """Steps whose `resume` nothing needs."""
        starts = {stretch.start for stretch in self.to_do()}
        newest = {max(self.recorded, default=None)}
        return sorted(self.resumable - starts - newest - self.resume_at)
