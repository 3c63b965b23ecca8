"""Trajectories: the checkpoints of one or more seeds by step, on disk.

`record` writes them while training runs, `open` reads them:

    steps = record_steps(1000, steps_per_epoch=100, epochs=range(11))
    with trajectory.record(folder, config, seeds=(0, 1), steps=steps) as recorder:
        for start, stop in recorder.to_do():  # one stretch (None, 1000) at first
            ...  # recorder.restore(example_resume, start), or the beginning if None
            recorder.save(step, variables, resume, diverged, metrics)

    run = trajectory.open(folder)
    run.load(1000, seeds=1)

A folder holds `config.json` (what defines the run), `checkpoints/<step>/` (written by
orbax) and `.lock`. The newest checkpoint, and those of `resume_at`, also hold the state
from which training goes on, in the same bits; one that is lost is made anew from the
nearest that does. Every load is checked against digests taken on the device that computed
it, so a damaged checkpoint is reported and never used.
"""

from linconn_jax.trajectory.folder import check
from linconn_jax.trajectory.reader import Trajectory, exists, open
from linconn_jax.trajectory.recorder import Recorder, record
from linconn_jax.trajectory.resuming import Checkpoint, Stretch
from linconn_jax.trajectory.steps import record_steps
from linconn_jax.trajectory.store import tidy

__all__ = [
    "Checkpoint",
    "Recorder",
    "Stretch",
    "Trajectory",
    "check",
    "exists",
    "open",
    "record",
    "record_steps",
    "tidy",
]
