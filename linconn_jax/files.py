"""Files that are found whole or not at all, and whose damage is noticed.

A unit is what one key produced: a JSON file that is named by the key's digest and begins
with the SHA-256 of all that follows. Numbers that are not finite are texts in it ("NaN",
"Infinity"), as any JSON reader takes them; bare words of earlier versions are read, too.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

_UNIT = re.compile("[0-9a-f]{16}[.]json")
_TEMPORARY = re.compile("[.].+[.][0-9a-f]{8}")
_BARE = re.compile("NaN|Infinity")

Key = Mapping[str, Any]


class Damaged(ValueError):
    """A file must not be used; `wrong` says why, as a part of a sentence."""

    def __init__(self, path: Path, wrong: str):
        super().__init__(
            f"the file {path} is damaged: {wrong}; delete it and make it again (an "
            "experiment that is run again computes only what is missing)"
        )
        self.wrong = wrong


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a whole file or none: a temporary neighbour, then a rename.

    Raises:
      OSError: it could not be written; what was there before is intact.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, file = _claimed(path)
        try:
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):  # gone already, unless the write failed
                temporary.unlink()
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror}); what was there before is "
            "intact: make room or get leave to write there, and start again to go on"
        ) from error


def unfinished(folder: Path) -> list[Path]:
    """What `write_atomically` is writing in a folder, or left there when killed."""
    return [path for path in folder.glob(".*") if _TEMPORARY.fullmatch(path.name)]


def remove_unfinished(folder: Path) -> None:
    """Deletes what a killed process left in a folder, and nothing that one writes now."""
    for path in unfinished(folder):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held while it is written
            path.unlink()


def _claimed(path: Path) -> tuple[Path, BinaryIO]:
    """A new temporary neighbour, open and locked, so that nobody takes it for a ruin."""
    while True:
        # A name of its own for each write: processes on several machines share disks.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        file = temporary.open("xb")
        with contextlib.suppress(OSError):  # no locks there: then nobody can delete it
            fcntl.flock(file, fcntl.LOCK_EX)
        if temporary.exists():
            return temporary, file
        file.close()  # deleted before it was locked


def digest(key: Key) -> str:
    """Sixteen hex digits that name a JSON-able mapping, whatever its order."""
    plain = json.loads(_strict(key))  # as it comes back from disk, with texts as names
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def unit_path(folder: Path, key: Key) -> Path:
    """Where the unit of a key is kept."""
    return folder / f"{digest(key)}.json"


def unit_paths(folder: Path) -> list[Path]:
    """All units of a folder; files that are named otherwise are somebody else's."""
    return sorted(p for p in folder.glob("*.json") if _UNIT.fullmatch(p.name))


def write_unit(folder: Path, key: Key, content: Mapping[str, Any]) -> None:
    """Keeps JSON-able `content` under `key`.

    Raises:
      OSError: it could not be written.
    """
    write_sealed(unit_path(folder, key), {"key": dict(key), **content})


def read_unit(path: Path) -> dict[str, Any]:
    """The content of a unit, with its "key".

    Raises:
      ValueError: it is damaged, or was not written under this name.
    """
    unit = read_sealed(path)
    if digest(unit["key"]) != path.stem:
        raise Damaged(path, "it belongs to another key")
    return unit


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON that begins with the SHA-256 of all that follows, if it is new.

    Raises:
      OSError: it could not be written.
    """
    body = _strict(content)[1:].encode()
    whole = _seal(body) + body
    if not (path.exists() and path.read_bytes() == whole):
        write_atomically(path, whole)


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote.

    Raises:
      ValueError: it is damaged.
    """
    content = path.read_bytes()
    body = content[len(_seal(b"")) :]
    if content != _seal(body) + body:
        raise Damaged(path, "it does not begin with the SHA-256 of what follows")
    found = json.loads(content)
    if any(x in body for x in _IN_FILES):  # a key stays as its digest has it
        found |= {name: _read(x) for name, x in found.items() if name != "key"}
    return found


_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_IN_FILES = [f'"{word}"'.encode() for word in _WORDS]


def _strict(content: Mapping[str, Any]) -> str:
    """As JSON, which has no word for numbers that are not finite: they are texts."""
    text = _json(content)
    return json.dumps(_written(json.loads(text))) if _BARE.search(text) else text


def _written(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return _each(_written, value)


def _read(value: Any) -> Any:
    if isinstance(value, str):
        return _WORDS.get(value, value)
    return _each(_read, value)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, dict):
        return {name: change(x) for name, x in value.items()}
    return [change(x) for x in value] if isinstance(value, list) else value


def _json(content: Mapping[str, Any]) -> str:
    """As JSON; numbers and arrays of NumPy and JAX as Python's."""
    return json.dumps(content, default=lambda value: value.tolist())


def _seal(body: bytes) -> bytes:
    return f'{{"sha256": "{hashlib.sha256(body).hexdigest()}", '.encode()
