"""The read side: checkpoints of a trajectory, checked, as host arrays."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from linconn_jax import files
from linconn_jax.trajectory import checks, packing
from linconn_jax.trajectory import folder as folders
from linconn_jax.trajectory.checksum import as_text, checksum_on_host
from linconn_jax.trajectory.resuming import Checkpoint, Ledger, Stretch
from linconn_jax.trajectory.store import Record, Store
from linconn_jax.typing import PyTree, Variables

Seeds = int | Sequence[int] | None


class Trajectory:
    """A recorded trajectory; made by `open`. It may still be growing.

    Attributes:
      folder: where it is.
      config: what defines the run.
      seeds: names of its networks.
      planned: steps that are to be recorded.
    """

    def __init__(self, folder: str | os.PathLike, like: PyTree = None):
        self.folder = Path(folder).expanduser().absolute()
        self._like = like
        identity = folders.read(self.folder)
        self.config: dict[str, Any] = identity["config"]
        self.seeds: tuple[int, ...] = tuple(identity["seeds"])
        self.planned: tuple[int, ...] = tuple(identity["steps"])
        self._run = files.digest(identity)
        self._store = Store(self.folder)
        self._records: dict[int, Record] = {}

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps recorded so far, ascending."""
        return self._store.steps()

    @property
    def resumable(self) -> tuple[int, ...]:
        """Recorded steps that hold `resume`, from which training can go on."""
        return tuple(step for step in self.steps if self._resumes(step))

    @property
    def complete(self) -> bool:
        """Whether every planned step is recorded."""
        return set(self.planned) <= set(self.steps)

    def to_do(self, resume_at: Sequence[int] = ()) -> tuple[Stretch, ...]:
        """The parts of training that `record` with these arguments would do."""
        if self.complete and not resume_at:
            return ()
        return Ledger(self.planned, self.steps, self.resumable, resume_at).to_do()

    @property
    def diverged(self) -> dict[int, int]:
        """`{seed: step}` of the seeds whose loss stopped being finite."""
        if not self.steps:
            return {}
        steps = self.record(self.steps[-1])["diverged"]
        return {s: t for s, t in zip(self.seeds, steps, strict=True) if t >= 0}

    def metrics(self) -> list[dict[str, Any]]:
        """A row `{"seed", "step", metric: value, …}` for each seed and recorded step."""
        rows = []
        for step in self.steps:
            metrics = self.record(step)["metrics"]
            for i, seed in enumerate(self.seeds):
                values = {name: column[i] for name, column in metrics.items()}
                rows.append({"seed": seed, "step": step, **values})
        return rows

    def load(self, step: int, seeds: Seeds = None) -> Variables:
        """Variables at one step.

        Args:
          step: one of `steps`.
          seeds: several, which become the leading axis in this order; all by default;
            or one alone as an int, and then there is no leading axis.

        Raises:
          ValueError: the step or a seed is not recorded, or the checkpoint is damaged.
        """
        alone = seeds is not None and np.ndim(seeds) == 0
        wanted = self.seeds if seeds is None else (seeds,) if alone else tuple(seeds)
        unknown = [seed for seed in wanted if seed not in self.seeds]
        if unknown or not wanted:
            raise ValueError(
                f"seeds {unknown} are not in {self.folder}, which holds {self.seeds}; "
                "ask for at least one of those"
            )
        rows = [self.seeds.index(seed) for seed in wanted]
        variables = self.parts(step, ("variables",), rows)["variables"]
        return jax.tree.map(lambda x: x[0], variables) if alone else variables

    def stack(
        self, steps: Sequence[int] | None = None, seeds: Seeds = None
    ) -> Variables:
        """Variables at several steps (all by default) along a new leading axis."""
        loaded = [self.load(s, seeds) for s in (self.steps if steps is None else steps)]
        if not loaded:
            raise ValueError(f"no steps to stack; {self.folder} has {self.steps}")
        return jax.tree.map(lambda *leaves: np.stack(leaves), *loaded)

    def stream(self, seeds: Seeds = None) -> Iterator[tuple[int, Variables]]:
        """`(step, variables)` of all steps recorded so far, one in memory at a time."""
        for step in self.steps:
            yield step, self.load(step, seeds)

    def checkpoint(self, step: int, example_resume: PyTree) -> Checkpoint:
        """A whole checkpoint of all seeds, to resume from or to spawn copies of.

        Args:
          step: one of `steps`.
          example_resume: a tree of the structure of what was saved as `resume`, with
            arrays or `jax.ShapeDtypeStruct`s as leaves, stacked over seeds or of one.

        Raises:
          ValueError: the step is not recorded, the checkpoint is damaged or does not hold
            `resume`, or that has other leaves than the example.
        """
        record = self.record(step)
        if not self._resumes(step):
            raise ValueError(
                f"the checkpoint of step {step} in {self.folder} holds the networks but "
                "no longer what training needs to go on from there; steps that do are "
                f"{list(self.resumable)}: name it in resume_at of trajectory.record"
            )
        parts = self.parts(step, ("variables", "resume"), range(len(self.seeds)))
        slots = [packing.Slot.from_json(slot) for slot in record["layout"]["resume"]]
        checks.check_resume(self.folder, step, slots, example_resume)
        structure = jax.tree.structure(example_resume)
        return Checkpoint(
            step=step,
            variables=parts["variables"],
            resume=jax.tree.unflatten(structure, parts["resume"]),
            diverged=np.asarray(record["diverged"], np.int32),
            metrics={k: np.asarray(v) for k, v in record["metrics"].items()},
        )

    def parts(
        self, step: int, names: Sequence[str], rows: Sequence[int]
    ) -> dict[str, Any]:
        """Checked rows of "variables" (as a tree) and "resume" (as a list of leaves)."""
        record = self.record(step)
        layout = {
            name: [packing.Slot.from_json(slot) for slot in record["layout"][name]]
            for name in names
        }
        shapes = {
            name: (len(self.seeds), sum(slot.words for slot in slots))
            for name, slots in layout.items()
        }
        found: dict[str, Any] = {}
        for name, words in self._store.read_words(step, shapes).items():
            words = words[np.asarray(rows)]
            self._check(step, name, words, rows, record)
            leaves = packing.unpack(words, layout[name])
            tree = name == "variables"
            found[name] = (
                self._variables(step, layout[name], leaves) if tree else leaves
            )
        return found

    def _resumes(self, step: int) -> bool:
        if self._store.holds_resume(step):
            return True
        slots = self.record(step)["layout"]["resume"]  # what is empty is not written
        return not any(packing.Slot.from_json(slot).words for slot in slots)

    def _variables(
        self, step: int, slots: Sequence[packing.Slot], leaves: list
    ) -> Variables:
        if self._like is None:
            return packing.nest(slots, leaves)
        checks.check_like(self.folder, step, slots, self._like)
        named = dict(zip((slot.path for slot in slots), leaves, strict=True))
        return jax.tree_util.tree_map_with_path(
            lambda path, _: named[packing.keys(path)], self._like
        )

    def record(self, step: int) -> Record:
        """What describes a checkpoint, checked to belong here; read once.

        Raises:
          ValueError: the step is not recorded, or its record is damaged.
        """
        if step not in self._records:
            steps = self.steps
            if step not in steps:
                near = sorted(sorted(steps, key=lambda s: abs(s - step))[:4])
                raise ValueError(
                    f"step {step} is not recorded in {self.folder}; the nearest of its "
                    f"{len(steps)} steps are {near}"
                )
            record = self._store.read_record(step)
            if record["run"] != self._run:
                raise self._store.damaged(step, "it belongs to another run")
            self._records[step] = record
        return self._records[step]

    def _check(
        self,
        step: int,
        name: str,
        words: np.ndarray,
        rows: Sequence[int],
        record: Record,
    ) -> None:
        stored = [record["digests"][name][row] for row in rows]
        seeds = [self.seeds[row] for row in rows]
        found = as_text(checksum_on_host(words))
        wrong = checks.rows_of(seeds, {name: stored}, {name: found})
        if wrong:
            raise self._store.damaged(step, f"{wrong} differ from their digests")


def open(folder: str | os.PathLike, *, like: PyTree = None) -> Trajectory:
    """Opens a trajectory to read, while it is being recorded or afterwards.

    Args:
      folder: of the trajectory.
      like: a tree with the structure of one network's variables, arrays or
        `jax.ShapeDtypeStruct`s (`Model.shapes`), in which they are loaded; nested dicts
        by default, which is the structure of this project's networks.

    Raises:
      ValueError: the folder is not a trajectory.
    """
    return Trajectory(folder, like)


def exists(folder: str | os.PathLike) -> bool:
    """Whether there is a trajectory, whole or begun, that `open` would open."""
    return folders.exists(Path(folder).expanduser().absolute())
