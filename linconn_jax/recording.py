"""Training recorded: the trainer's states go into a trajectory, and come back."""

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from linconn_jax import parallel, progress, train, trajectory, trees
from linconn_jax.train import Trainer, TrainState


def record(
    trainer: Trainer,
    folder: str | os.PathLike,
    definition: dict[str, Any],
    *,
    seeds: Sequence[int],
    init: Sequence[int],
    steps: Sequence[int],
    parent: TrainState | None = None,
) -> None:
    """Trains what `folder` still lacks and records a checkpoint at each of `steps`.

    Args:
      trainer: for as many seeds as there are.
      folder: of the trajectory; created, or gone on with.
      definition: everything that defines the networks, kept beside them.
      seeds: names of the networks, and the seeds of their SGD noise.
      init: the init seed of each.
      steps: where to record, ascending; training starts at the first and ends with the
        last. The bits do not depend on the calls by which it goes.
      parent: a state of one seed at `steps[0]` from which all copies start, instead of
        initialised networks.

    Raises:
      ValueError: the folder holds a trajectory of another definition, or is damaged.
    """
    with trajectory.record(folder, definition, seeds=seeds, steps=steps) as recorder:
        stored = recorder.restore(_resume(trainer.example()), like=trainer.model.shapes)
        reached = steps[0] if stored is None else stored.step
        if stored is not None:
            states = trainer.place(_state(stored))
        elif parent is not None:
            states = trainer.place(train.spawn(parent, len(seeds)))
        else:
            states = trainer.init(init)
        if stored is None:
            save(recorder, reached, states)
        with progress.task(
            f"train {len(seeds)} x {trainer.model.name}",
            steps[-1],
            unit="steps",
            quiet=not parallel.is_main_process(),
        ) as shown:
            shown.skip(reached)
            pace = progress.Pace(shown)
            for stop in (step for step in steps if step > reached):
                for first, last in pace.calls(reached, stop):
                    states = trainer.run(states, seeds, first, last)
                    summary = train.summary(states, trainer.mesh)
                    pace.called(last - first, functools.partial(_note, *summary))
                save(recorder, stop, states)
                states, reached = train.forget_metrics(states), stop


def restore_one(
    trainer: Trainer, folder: str | os.PathLike, seed: int, step: int
) -> TrainState:
    """The whole training state of one seed of a recorded trajectory, to spawn from."""
    stored = trajectory.open(folder, like=trainer.model.shapes)
    states = _state(stored.checkpoint(step, _resume(trainer.example())))
    return trees.take(states, stored.seeds.index(seed))


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
