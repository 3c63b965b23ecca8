"""Writing files so that a reader finds a whole one or none."""

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a whole file or none: a temporary neighbour, then a rename.

    Raises:
      OSError: it could not be written; what was there before is intact.
    """
    # A name of its own for each write: processes on several machines share disks.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror}); what was there before is "
            "intact: make room or get leave to write there, and start again to go on"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone already, unless the write failed
            temporary.unlink()
