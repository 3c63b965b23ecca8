"""Checkpoints of one folder on disk: the only module that knows orbax.

`folder/checkpoints/<step>/` holds tables of words and, as orbax's custom metadata, a
record: a JSON-able dict that describes them, with its own SHA-256. orbax writes a
temporary folder and renames it, so a numbered folder is complete.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from linconn_jax.typing import Array

Record = dict[str, Any]

_RECORD_FILE = "_CHECKPOINT_METADATA"  # where orbax keeps custom metadata
_TEMPORARY = ".orbax-checkpoint-tmp"  # the end of the name of an unfinished folder

# What orbax and tensorstore were seen to raise on damaged files: they parse them without
# checking. See the test that flips every byte.
_DECODE_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def _not_of_orbax(record: logging.LogRecord) -> bool:
    """Keeps orbax out of the log.

    It warns of its own settings at every save, and prints errors that it raises too.
    """
    return "orbax" not in record.pathname


logging.getLogger("absl").addFilter(_not_of_orbax)


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

    def remove_unfinished(self) -> None:
        """Deletes what a killed or failed save left behind."""
        for path in self.checkpoints.glob(f"*{_TEMPORARY}*"):
            shutil.rmtree(path)

    def write(
        self, step: int, words: dict[str, Array | np.ndarray], record: Record
    ) -> None:
        """Writes a checkpoint whole or not at all; every process calls it.

        Raises:
          OSError: it could not be written; earlier checkpoints are not touched.
        """
        tables = {name: _on_host(table) for name, table in words.items() if table.size}
        try:
            self._check_room(tables)
            with _checkpointer(range(jax.process_count())) as checkpointer:
                checkpointer.save(
                    self.path(step),
                    args=ocp.args.PyTreeSave(tables),
                    custom_metadata={**record, "sha256": _sha256(record)},
                )
        except (OSError, RuntimeError, ValueError) as error:
            if jax.process_index() == 0:
                shutil.rmtree(f"{self.path(step)}{_TEMPORARY}", ignore_errors=True)
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
        path = self.path(step) / _RECORD_FILE
        try:
            record = json.loads(path.read_bytes())["custom_metadata"]
            digest = record.pop("sha256")
        except _DECODE_ERRORS as error:
            raise self.damaged(step, f"{path.name} is unreadable: {error}") from error
        if digest != _sha256(record):
            raise self.damaged(step, f"the SHA-256 in {path.name} is not its content's")
        if record["step"] != step:
            raise self.damaged(step, f"{path.name} belongs to step {record['step']}")
        return record

    def read_words(self, step: int, shapes: dict[str, tuple[int, int]]) -> dict:
        """The tables named in `shapes`, unchecked but for their shape and dtype.

        Raises:
          ValueError: they cannot be decoded, or are of another shape.
        """
        tables = {name: np.zeros(shape, np.uint32) for name, shape in shapes.items()}
        for name, shape in shapes.items():
            if tables[name].size:  # empty tables are not written
                tables[name] = self._restore(step, name)
            table = tables[name]
            if table.shape != shape or table.dtype != np.uint32:
                raise self.damaged(
                    step, f"{name} has shape {table.shape} {table.dtype}, not {shape}"
                )
        return tables

    def damaged(self, step: int, what: str) -> ValueError:
        """The error that says that a checkpoint must not be used."""
        return ValueError(
            f"the checkpoint of step {step} in {self.folder} is damaged: {what}; delete "
            f"{self.path(step)}, then training again goes on from the checkpoint before"
        )

    def _restore(self, step: int, name: str) -> np.ndarray:
        """One table; asked for several, orbax leaves some behind when one fails."""
        as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        try:
            with _checkpointer([jax.process_index()]) as checkpointer:
                restored = checkpointer.restore(
                    self.path(step),
                    args=ocp.args.PyTreeRestore(
                        item={name: 0},
                        restore_args={name: as_numpy},
                        partial_restore=True,
                    ),
                )
            return np.asarray(restored[name])
        except _DECODE_ERRORS as error:
            raise self.damaged(step, _last_line(error)) from error

    def _check_room(self, tables: dict[str, Array | np.ndarray]) -> None:
        """Fails before anything is written, where the disk can be asked."""
        needed = sum(table.nbytes for table in tables.values())
        free = shutil.disk_usage(self.checkpoints).free
        if needed > free and jax.process_count() == 1:
            raise OSError(
                f"it takes {needed / 1e6:.1f} MB and {free / 1e6:.1f} are free"
            )


def _checkpointer(processes: Sequence[int]) -> ocp.Checkpointer:
    """A synchronous checkpointer among some processes.

    Naming the processes makes orbax synchronise them over the network and not by a
    collective on their devices, which may be busy with training.
    """
    options = ocp.options.MultiprocessingOptions(
        primary_host=min(processes), active_processes=set(processes)
    )
    # Plain zarr files: half the files and half the time of OCDBT for one or two arrays.
    handler = ocp.PyTreeCheckpointHandler(
        use_ocdbt=False, use_compression=False, multiprocessing_options=options
    )
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def _on_host(table: Array | np.ndarray) -> Array | np.ndarray:
    whole = isinstance(table, np.ndarray) or table.is_fully_addressable
    return np.asarray(table) if whole else table


def _sha256(record: Record) -> str:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"[:500]
