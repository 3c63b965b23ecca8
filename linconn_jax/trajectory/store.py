"""Checkpoints of one folder on disk.

`folder/checkpoints/<step>/` holds tables of words and, as orbax's custom metadata, a
record: a JSON-able dict that describes them, with its own SHA-256. orbax writes a
temporary folder and renames it, so a numbered folder is complete. The table `resume` is a
folder in it, taken out and put back by renaming.
"""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from linconn_jax import files, machine
from linconn_jax.trajectory import folder as folders
from linconn_jax.trajectory import tables
from linconn_jax.typing import Array

Record = dict[str, Any]

_UNPROVEN = ".unproven"  # of a checkpoint made anew, not yet known to be as it was
_ALONE = ".resume"  # of a checkpoint of that table alone, to be put into another
_RESUME = "resume"


class Store:
    """Reads and writes the checkpoints of one trajectory folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.checkpoints = folder / "checkpoints"

    def steps(self) -> tuple[int, ...]:
        """Steps of all finished checkpoints, ascending."""
        names = [path.name for path in self.checkpoints.iterdir()]
        return tuple(sorted(int(name) for name in names if name.isdecimal()))

    def path(self, step: int) -> Path:
        """Folder of one checkpoint."""
        return self.checkpoints / str(step)

    def holds_resume(self, step: int) -> bool:
        """Whether the table `resume` of a checkpoint is on disk."""
        return (self.path(step) / _RESUME).is_dir()

    def unfinished(self) -> list[Path]:
        """What a killed or failed process left behind, if none is writing."""
        ends = (f"*{tables.TEMPORARY}*", f"*{_UNPROVEN}", f"*{_ALONE}")
        found = [path for end in ends for path in self.checkpoints.glob(end)]
        return found + files.unfinished(self.folder)

    def remove_unfinished(self) -> None:
        """Deletes it; only for the process that holds the lock of the folder."""
        for path in self.unfinished():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def write(
        self,
        step: int,
        words: dict[str, Array | np.ndarray],
        record: Record,
        *,
        unproven: bool = False,
    ) -> None:
        """Writes a checkpoint whole or not at all; every process calls it.

        Args:
          step: of the checkpoint.
          words: tables by name.
          record: describes them.
          unproven: it is none yet, until `accept`.

        Raises:
          OSError: it could not be written; earlier checkpoints are not touched.
        """
        path = self.path(step)
        self._save(
            path.with_name(f"{step}{_UNPROVEN}" if unproven else path.name),
            step,
            words,
            {**record, "sha256": _sha256(record)},
        )

    def accept(self, step: int) -> None:
        """Makes an unproven checkpoint one of the others."""
        if jax.process_index() == 0:
            os.rename(f"{self.path(step)}{_UNPROVEN}", self.path(step))

    def add_resume(self, step: int, table: Array | np.ndarray) -> None:
        """Puts the table `resume` back into a checkpoint; every process calls it.

        Raises:
          OSError: it could not be written.
        """
        alone = self.path(step).with_name(f"{step}{_ALONE}")
        self._save(alone, step, {_RESUME: table}, None)
        if table.size and jax.process_index() == 0:
            os.rename(alone / _RESUME, self.path(step) / _RESUME)
            shutil.rmtree(alone, ignore_errors=True)

    def remove_resume(self, step: int) -> None:
        """Takes `resume` out of a checkpoint; a kill leaves it whole or none."""
        if jax.process_index() == 0:
            taken = f"{self.path(step)}{_ALONE}{tables.TEMPORARY}"
            with contextlib.suppress(OSError):  # it takes room, and does no other harm
                os.rename(self.path(step) / _RESUME, taken)
            shutil.rmtree(taken, ignore_errors=True)

    def _save(
        self,
        path: Path,
        step: int,
        words: dict[str, Array | np.ndarray],
        metadata: Record | None,
    ) -> None:
        whole = {name: _on_host(table) for name, table in words.items() if table.size}
        if not whole:
            return
        try:
            self._check_room(whole)
            tables.write(path, whole, metadata)
        except (OSError, RuntimeError, ValueError) as error:
            if jax.process_index() == 0:
                shutil.rmtree(f"{path}{tables.TEMPORARY}", ignore_errors=True)
            raise OSError(
                f"the checkpoint of step {step} could not be written to {self.folder} "
                f"({_last_line(error)}); earlier checkpoints are intact: make room or "
                "repair the disk, and start again to go on from the last of them"
            ) from error

    def read_record(self, step: int) -> Record:
        """The record of a checkpoint.

        Raises:
          ValueError: it is damaged.
        """
        path = self.path(step) / tables.RECORD_FILE
        try:
            record = json.loads(path.read_bytes())["custom_metadata"]
            digest = record.pop("sha256")
        except tables.DECODE_ERRORS as error:
            raise self.damaged(step, f"{path.name} is unreadable: {error}") from error
        if digest != _sha256(record):
            raise self.damaged(step, f"the SHA-256 in {path.name} is not its content's")
        if record["step"] != step:
            raise self.damaged(step, f"{path.name} belongs to step {record['step']}")
        return record

    def read_words(self, step: int, shapes: dict[str, tuple[int, int]]) -> dict:
        """The tables named in `shapes`, unchecked but for their shape and dtype.

        Args:
          step: of the checkpoint.
          shapes: least number of rows (there may be more, of padding), and of words.

        Raises:
          ValueError: they cannot be decoded, or are of another shape.
        """
        found = {name: np.zeros(shape, np.uint32) for name, shape in shapes.items()}
        for name, shape in shapes.items():
            if found[name].size:  # empty tables are not written
                found[name] = self._restore(step, name)
            table = found[name]
            fits = table.shape[1:] == shape[1:] and len(table) >= shape[0]
            if not fits or table.dtype != np.uint32:
                raise self.damaged(
                    step, f"{name} has shape {table.shape} {table.dtype}, not {shape}"
                )
        return found

    def damaged(self, step: int, what: str) -> ValueError:
        """The error that says that a checkpoint must not be used."""
        return ValueError(
            f"the checkpoint of step {step} in {self.folder} is damaged: {what}; delete "
            f"{self.path(step)}, then training again makes it anew, in the same bits, "
            "and keeps the others"
        )

    def _restore(self, step: int, name: str) -> np.ndarray:
        try:
            return tables.read(self.path(step), name)
        except tables.DECODE_ERRORS as error:
            raise self.damaged(step, _last_line(error)) from error

    def _check_room(self, words: dict[str, Array | np.ndarray]) -> None:
        """Fails before anything is written, where the disk can be asked."""
        needed = sum(table.nbytes for table in words.values())
        free = machine.room(self.checkpoints)
        if needed > free and jax.process_count() == 1:
            taken, left = machine.size(needed), machine.size(free)
            raise OSError(f"it takes {taken} and {left} are free")


def tidy(folder: str | os.PathLike) -> None:
    """Deletes what a killed process left half-written, unless one is recording there."""
    store = Store(Path(folder).expanduser().absolute())
    with contextlib.suppress(
        OSError, ValueError
    ):  # a reader only, or recorded just now
        if store.unfinished():
            held = folders.lock(store.folder)
            try:
                store.remove_unfinished()
            finally:
                os.close(held)


def _on_host(table: Array | np.ndarray) -> Array | np.ndarray:
    whole = isinstance(table, np.ndarray) or table.is_fully_addressable
    return np.asarray(table) if whole else table


def _sha256(record: Record) -> str:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"[:500]
