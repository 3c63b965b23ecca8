"""The write side: records checkpoints in the background while training goes on."""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from linconn_jax import files, parallel, trees
from linconn_jax.trajectory import checks, packing
from linconn_jax.trajectory import folder as folders
from linconn_jax.trajectory.reader import Trajectory
from linconn_jax.trajectory.resuming import Checkpoint, Ledger, Stretch
from linconn_jax.trajectory.store import Store
from linconn_jax.trajectory.writing import Writer
from linconn_jax.typing import Array, PyTree, Variables

_UNDER_WAY = 2
"""Saves that may be waiting or being written before `save` waits for the oldest."""


class Recorder:
    """Records one training program's trajectory; made by `record`, used in a `with`."""

    def __init__(
        self,
        folder: str | os.PathLike,
        config: dict[str, Any],
        seeds: Sequence[int],
        steps: Sequence[int],
        resume_at: Sequence[int] = (),
    ):
        self.folder = Path(folder).expanduser().absolute()
        self.identity = folders.identity(config, seeds, steps)
        self.seeds = tuple(self.identity["seeds"])
        self.steps = tuple(self.identity["steps"])
        self._resume_at = tuple(checks.steps_among(resume_at, self.steps))
        self._store = Store(self.folder)
        self._writer: Writer | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._pending: deque[Future] = deque()
        self._lock: int | None = None

    def __enter__(self) -> "Recorder":
        folders.on_first_process(self._open)
        try:
            run = files.digest(self.identity)
            self._writer = Writer(self.seeds, run, self._store, self._as_on_disk())
        except BaseException:
            self._close()
            raise
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            failures = [future.exception() for future in self._pending]
        finally:
            self._close()
        failure = next((f for f in failures if f is not None), None)
        if failure is None or failure is error:
            return
        if error is None:
            raise failure
        error.add_note(f"While this was raised, saving failed too: {failure}")

    @property
    def latest(self) -> int | None:
        """The last step with a finished checkpoint, or None."""
        return max(self._store.steps(), default=None)

    def to_do(self) -> tuple[Stretch, ...]:
        """The parts of training that are missing, in order.

        Train each from its `start` (`restore` it; None: from the beginning, where the
        first step is saved, too) to its `stop`, and save every step to be recorded on
        the way. What is recorded already is compared. What is not, though a later step
        is, counts as recorded once the next that is has been found to be the same.
        """
        self.wait()
        return self._inside().ledger.to_do()

    def restore(
        self, example_resume: PyTree, step: int | None = None, *, like: PyTree = None
    ) -> Checkpoint | None:
        """Reads a checkpoint to go on from, on any number of devices.

        Args:
          example_resume: a tree of the structure of `resume`, with arrays or
            `jax.ShapeDtypeStruct`s as leaves, stacked over seeds or of one seed.
          step: a recorded one that holds `resume`; the latest by default.
          like: the structure of variables, as `open` takes it.

        Returns:
          The checkpoint, or None if none has been recorded yet.

        Raises:
          ValueError: the step is not recorded, the checkpoint is damaged or does not hold
            `resume`, or that has other leaves than the example.
        """
        self.wait()
        step = self.latest if step is None else step
        if step is None:
            return None
        return Trajectory(self.folder, like).checkpoint(step, example_resume)

    def save(
        self,
        step: int,
        variables: Variables,
        resume: PyTree,
        diverged: Array | np.ndarray,
        metrics: dict[str, Array | np.ndarray],
    ) -> None:
        """Records a checkpoint in the background, and drops `resume` that nothing needs.

        All arrays are copied on their devices before anything that is dispatched later
        can change them, so they may be donated to the next training call. If the step is
        there already, its content is compared instead of written.

        Args:
          step: one of `steps`.
          variables: any tree of arrays with one leading axis of seeds, padded or not.
          resume: any tree of arrays with the same leading axis, or scalars.
          diverged: int array, leading axis as above.
          metrics: float arrays by name, leading axis as above.

        Raises:
          ValueError: a step that is not to be recorded, arrays that do not fit, or an
            existing checkpoint of this or an earlier save with other content.
          OSError: an earlier save failed.
        """
        writer = self._inside()
        if step not in self.steps:
            raise ValueError(
                f"step {step} is not among the {len(self.steps)} steps to record "
                f"({_short(self.steps)}); add it to `steps` of trajectory.record"
            )
        rows = trees.leading_size(variables)
        parts = {"variables": variables, "resume": resume}
        layout = {name: packing.describe(t, rows, name) for name, t in parts.items()}
        small = {"diverged": diverged, "metrics": dict(metrics)}
        checks.check_fits(len(self.seeds), rows, layout["variables"], variables, small)
        self._wait(_UNDER_WAY - 1)
        taken = packing.snapshot(parts, layout, rows, small)
        self._pending.append(self._worker.submit(writer.write, step, layout, *taken))

    def _inside(self) -> Writer:
        if self._writer is None:
            raise ValueError(
                "this recorder is closed; use it inside `with trajectory.record(...)`"
            )
        return self._writer

    def wait(self) -> None:
        """Returns when everything saved so far is on disk; raises if a save failed."""
        self._wait(0)

    def _wait(self, longest: int) -> None:
        """Waits until at most `longest` saves are under way."""
        while len(self._pending) > longest:
            self._pending[0].result()
            self._pending.popleft()

    def _open(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file; give a folder to record in")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = folders.lock(self.folder)
        try:
            folders.create(self.folder, self.identity)
            self._store.remove_unfinished()
        except BaseException:
            self._close()
            raise

    def _as_on_disk(self) -> Ledger:
        """What the first process finds, in all of them."""
        found = np.zeros(len(self.steps), np.int32)

        def look() -> None:
            there = Trajectory(self.folder)
            found[:] = np.isin(self.steps, there.steps)
            found[:] += np.isin(self.steps, there.resumable)

        folders.on_first_process(look)
        found, steps = parallel.same_everywhere(found), np.asarray(self.steps)
        recorded, resumable = steps[found > 0].tolist(), steps[found > 1].tolist()
        return Ledger(self.steps, recorded, resumable, self._resume_at)

    def _close(self) -> None:
        if self._worker is not None:
            self._worker.shutdown()
        self._worker = self._writer = None
        self._pending.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def record(
    folder: str | os.PathLike,
    config: dict[str, Any],
    *,
    seeds: Sequence[int],
    steps: Sequence[int],
    resume_at: Sequence[int] = (),
) -> Recorder:
    """`with record(...) as recorder:` creates or reopens a trajectory to record in.

    Args:
      folder: a folder of its own, made absolute; in a run of several processes, one that
        all of them see.
      config: what defines the run, JSON-able.
      seeds: names of the networks along the leading axis, without padding.
      steps: all steps to be recorded, from `record_steps`.
      resume_at: those of them that keep `resume` for good, to spawn copies from or to go
        back to; other steps have it while training goes on from them.

    Raises (on entering):
      ValueError: another process records there; the folder's config, seeds or steps
        differ; or it holds something else.
    """
    return Recorder(folder, config, seeds, steps, resume_at)


def _short(steps: Sequence[int]) -> str:
    shown = [str(step) for step in steps]
    return ", ".join(shown if len(shown) < 9 else [*shown[:4], "…", *shown[-3:]])
