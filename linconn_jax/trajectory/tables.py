"""Named tables of words in one folder on disk: the only module that knows orbax."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from linconn_jax.typing import Array

RECORD_FILE = "_CHECKPOINT_METADATA"  # where orbax keeps custom metadata
TEMPORARY = ".orbax-checkpoint-tmp"  # the end of the name of an unfinished folder

# What orbax and tensorstore were seen to raise on damaged files: they parse them without
# checking. See the test that flips every byte.
DECODE_ERRORS = (
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


def write(
    path: Path, tables: dict[str, Array | np.ndarray], metadata: dict[str, Any] | None
) -> None:
    """Writes a folder, by another name first and then renamed; every process calls it."""
    with _checkpointer(range(jax.process_count())) as checkpointer:
        checkpointer.save(
            path, args=ocp.args.PyTreeSave(tables), custom_metadata=metadata
        )


def read(path: Path, name: str) -> np.ndarray:
    """One table; asked for several, orbax leaves some behind when one fails."""
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    with _checkpointer([jax.process_index()]) as checkpointer:
        restored = checkpointer.restore(
            path,
            args=ocp.args.PyTreeRestore(
                item={name: 0}, restore_args={name: as_numpy}, partial_restore=True
            ),
        )
    return np.asarray(restored[name])


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
