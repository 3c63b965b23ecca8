"""Training recorded: the trainer's states go into a trajectory, and come back."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from linconn_jax import parallel, progress, train, trajectory, trees
from linconn_jax.train import Trainer, TrainState
from linconn_jax.typing import PyTree


def record(
    trainer: Trainer,
    folder: str | os.PathLike,
    definition: dict[str, Any],
    *,
    seeds: Sequence[int],
    steps: Sequence[int],
    begin: Callable[[], TrainState],
    resume_at: Sequence[int] = (),
    restart_at: Sequence[int] = (),
    masks: PyTree = (),
    noise: Sequence[int] | None = None,
) -> None:
    """Trains what `folder` still lacks and records a checkpoint at each of `steps`.

    A checkpoint that is missing between others is made anew from the nearest that
    training can go on from, in the same bits, and the others are kept.

    Args:
      trainer: for as many seeds as there are.
      folder: of the trajectory; created, or gone on with.
      definition: everything that defines the networks, kept beside them.
      seeds: names of the networks.
      steps: where to record, ascending; training starts at the first and ends with the
        last. The bits do not depend on the calls by which it goes.
      begin: gives the states at the first step, on the mesh, where training begins.
      resume_at: those of them that copies are to be spawned from.
      restart_at: those of them from which the optimiser starts anew (`Trainer.restart`).
      masks: of the states, which checkpoints do not hold, stacked over seeds on the host;
        or nothing.
      noise: seeds of their SGD noise; by default their names.

    Raises:
      ValueError: the folder holds a trajectory of another definition, or is damaged; or
        what is made anew differs from what is recorded.
    """
    noise = seeds if noise is None else noise

    def begun(recorder: trajectory.Recorder, start: int | None) -> TrainState:
        if start is not None:
            example = _resume(trainer.example())
            shapes = trainer.model.shapes
            stored = _state(recorder.restore(example, start, like=shapes))
            return trainer.place(dataclasses.replace(stored, masks=masks))
        states = begin()
        save(recorder, steps[0], states)
        return states

    with trajectory.record(
        folder, definition, seeds=seeds, steps=steps, resume_at=resume_at
    ) as recorder:
        to_do = recorder.to_do()
        left = sum(stop - (start or steps[0]) for start, stop in to_do)
        with progress.task(
            f"train {len(seeds)} x {trainer.model.name}",
            max(steps[-1], left),
            unit="steps",
            quiet=not parallel.is_main_process(),
        ) as shown:
            shown.skip(max(steps[-1] - left, 0))
            pace = progress.Pace(shown)
            for start, end in to_do:
                states, reached = begun(recorder, start), start or steps[0]
                for stop in (step for step in steps if reached < step <= end):
                    if reached in restart_at:
                        states = trainer.restart(states, reached)
                    for first, last in pace.calls(reached, stop):
                        states = trainer.run(states, noise, first, last)
                        summary = train.summary(states, trainer.mesh)
                        pace.called(last - first, functools.partial(_note, *summary))
                    save(recorder, stop, states)
                    states, reached = train.forget_metrics(states), stop


def restore_one(
    trainer: Trainer, folder: str | os.PathLike, seed: int, step: int
) -> TrainState:
    """The whole training state of one seed of a recorded trajectory, to spawn from."""
    return trees.take(restore(trainer, folder, (seed,), step), 0)


def restore(
    trainer: Trainer, folder: str | os.PathLike, seeds: Sequence[int], step: int
) -> TrainState:
    """The same of several seeds, stacked."""
    stored = trajectory.open(folder, like=trainer.model.shapes)
    states = _state(stored.checkpoint(step, _resume(trainer.example())))
    return trees.take(states, [stored.seeds.index(seed) for seed in seeds])


def save(recorder: trajectory.Recorder, step: int, states: TrainState) -> None:
    """Records a checkpoint of the states at a step."""
    recorder.save(
        step,
        variables=states.variables,
        resume=_resume(states),
        diverged=states.diverged,
        metrics=train.mean_metrics(states),
    )


def _note(loss: Any, stopped: Any) -> str:
    said = f"loss {np.asarray(loss):.4g}"
    return f"{said}, {np.asarray(stopped)} diverged" if stopped else said


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
