"""Trajectories: the checkpoints of one or more seeds by step, on disk.

`record` writes them while training runs, `open` reads them:

    steps = record_steps(1000, steps_per_epoch=100, epochs=range(11))
    with trajectory.record(folder, config, seeds=(0, 1), steps=steps) as recorder:
        checkpoint = recorder.restore(example_resume)  # None at the first start
        ...
        recorder.save(step, variables, resume, diverged, metrics)

    run = trajectory.open(folder)
    run.load(1000, seeds=1)

A folder holds `config.json` (what defines the run), `checkpoints/<step>/` (written by
orbax) and `.lock`. Every checkpoint is complete: training goes on from any of them, in
the same bits. Every load is checked against digests taken on the device that computed
it, so a damaged checkpoint is reported and never used.
"""

from linconn_jax.trajectory.reader import Checkpoint, Trajectory, exists, open
from linconn_jax.trajectory.recorder import Recorder, check, record
from linconn_jax.trajectory.steps import record_steps

__all__ = [
    "Checkpoint",
    "Recorder",
    "Trajectory",
    "check",
    "exists",
    "open",
    "record",
    "record_steps",
]
