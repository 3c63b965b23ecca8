"""Training recorded: the trainer's states go into a trajectory, and come back."""

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence

import numpy as np

from linconn_jax import parallel, progress, train, trajectory, trees
from linconn_jax.train import Trainer, TrainState
from linconn_jax.typing import Any

SECONDS_PER_CALL = 1.0
"""Aimed length of one call of the training program: how often progress is shown and how
long an interrupt may take. The bits of the result do not depend on it."""


@dataclasses.dataclass(frozen=True)
class Seeds:
    """The networks of one training program: names, and what each draws from.

    Attributes:
      names: how the networks are called everywhere.
      init: init seed of each.
      noise: noise seed of each.
    """

    names: tuple[int, ...]
    init: tuple[int, ...]
    noise: tuple[int, ...]


def record(
    trainer: Trainer,
    folder: str | os.PathLike,
    definition: dict[str, Any],
    *,
    seeds: Seeds,
    steps: Sequence[int],
    resume_at: Sequence[int] = (),
    parent: TrainState | None = None,
) -> None:
    """Trains what `folder` still lacks and records a checkpoint at each of `steps`.

    A checkpoint that is missing between others is made anew from the nearest that
    training can go on from, in the same bits, and the others are kept.

    Args:
      trainer: for as many seeds as there are.
      folder: of the trajectory; created, or gone on with.
      definition: everything that defines the networks, kept beside them.
      seeds: the networks.
      steps: where to record, ascending; training starts at the first and ends with the
        last.
      resume_at: those of them that copies are to be spawned from.
      parent: a state of one seed at `steps[0]` from which all copies start; by default
        each is initialised from its init seed.

    Raises:
      ValueError: the folder holds a trajectory of another definition, or is damaged; or
        what is made anew differs from what is recorded.
    """

    def begun(recorder: trajectory.Recorder, start: int | None) -> TrainState:
        if start is not None:
            example = _resume(trainer.example())
            shapes = trainer.model.shapes
            return trainer.place(_state(recorder.restore(example, start, like=shapes)))
        if parent is not None:
            states = trainer.place(train.spawn(parent, len(seeds.names)))
        else:
            states = trainer.init(seeds.init)
        save(recorder, steps[0], states)
        return states

    with trajectory.record(
        folder, definition, seeds=seeds.names, steps=steps, resume_at=resume_at
    ) as recorder:
        to_do = recorder.to_do()
        left = sum(stop - (start or steps[0]) for start, stop in to_do)
        with progress.task(
            f"train {len(seeds.names)} x {trainer.model.name}",
            max(steps[-1], left),
            unit="steps",
            quiet=not parallel.is_main_process(),
        ) as shown:
            shown.skip(max(steps[-1] - left, 0))
            pace = _Pace()
            for start, end in to_do:
                states, reached = begun(recorder, start), start or steps[0]
                for stop in (step for step in steps if reached < step <= end):
                    for first, last in pace.calls(reached, stop):
                        states = trainer.run(states, seeds.noise, first, last)
                        summary = train.summary(states, trainer.mesh)
                        pace.show(shown, last - first, summary)
                    pace.show_last(shown)
                    save(recorder, stop, states)
                    states, reached = train.forget_metrics(states), stop


def restore_one(
    trainer: Trainer, folder: str | os.PathLike, seed: int, step: int
) -> TrainState:
    """The whole training state of one seed of a recorded trajectory, to spawn from."""
    stored = trajectory.open(folder, like=trainer.model.shapes)
    states = _state(stored.checkpoint(step, _resume(trainer.example())))
    return trees.take(states, stored.seeds.index(seed))


class _Pace:
    """Sizes calls to about `SECONDS_PER_CALL` and shows one while the next one runs."""

    def __init__(self):
        self.size = 1
        self.pending: tuple[progress.Task, int, Any] | None = None

    def calls(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        while start < stop:
            began = time.monotonic()
            last = min(start + self.size, stop)
            yield start, last
            seconds, whole = time.monotonic() - began, last - start == self.size
            start = last
            if seconds < SECONDS_PER_CALL / 2 and whole:
                self.size *= 2
            elif seconds > SECONDS_PER_CALL * 2:
                self.size = max(self.size // 2, 1)
            self.size = parallel.same_everywhere(self.size)

    def show(self, shown: progress.Task, steps: int, summary: Any) -> None:
        """Shows the call before this one, which waits for that one's end only."""
        self.show_last(shown)
        self.pending = shown, steps, summary

    def show_last(self, shown: progress.Task) -> None:
        if self.pending is not None:
            shown, steps, summary = self.pending
            loss, stopped = (np.asarray(x) for x in summary)
            note = f"loss {loss:.4g}" + (f", {stopped} diverged" if stopped else "")
            shown.advance(steps, note=note)
            self.pending = None


def save(recorder: trajectory.Recorder, step: int, states: TrainState) -> None:
    """Records a checkpoint of the states at a step."""
    recorder.save(
        step,
        variables=states.variables,
        resume=_resume(states),
        diverged=states.diverged,
        metrics=train.mean_metrics(states),
    )


def _resume(states: TrainState) -> Any:
    """What a checkpoint holds beside the variables and the mark of divergence."""
    return states.opt_state


def _state(checkpoint: trajectory.Checkpoint) -> TrainState:
    zero = np.zeros(np.shape(checkpoint.diverged), np.float32)
    return TrainState(
        variables=checkpoint.variables,
        opt_state=checkpoint.resume,
        diverged=np.asarray(checkpoint.diverged, np.int32),
        loss=zero,
        error=zero,
        batches=zero.astype(np.int32),
    )
