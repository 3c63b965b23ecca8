"""What identifies a trajectory folder, and the lock of the process that records in it."""

import fcntl
import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from linconn_jax.files import write_atomically

FORMAT = 1
_CONFIG, _LOCK = "config.json", ".lock"
_MESSAGE_BYTES = 8192


def identity(
    config: dict[str, Any], seeds: Sequence[int], steps: Sequence[int]
) -> dict[str, Any]:
    """What `config.json` holds, as it comes back from JSON.

    Raises:
      ValueError: the config is not JSON-able, there are no seeds or steps, or some are
        given twice.
    """
    for name, values in (("seeds", seeds), ("steps", steps)):
        if not values or len(set(values)) != len(values):
            raise ValueError(f"{name}={tuple(values)}; give at least one, each once")
    content = {
        "format": FORMAT,
        "config": config,
        "seeds": [int(seed) for seed in seeds],
        "steps": sorted(int(step) for step in steps),
    }
    try:
        return json.loads(json.dumps(content, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the config of a trajectory must be JSON-able (dicts with string keys, "
            f"lists, strings, finite numbers, booleans, None): {error}"
        ) from error


def read(folder: Path) -> dict[str, Any]:
    """The identity of an existing trajectory folder.

    Raises:
      ValueError: the folder is not a trajectory, is of another format, or damaged.
    """
    path = folder / _CONFIG
    for needed in (folder, path, folder / "checkpoints"):
        if not needed.exists():
            raise ValueError(
                f"{folder} is not a trajectory folder: {needed} does not exist; give the "
                "folder that trajectory.record made, or record one there first"
            )
    try:
        content = json.loads(path.read_bytes())
        missing = {"format", "config", "seeds", "steps"} - set(content)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged: {error}; restore it from a copy"
        ) from error
    if missing or content["format"] != FORMAT:
        raise ValueError(
            f"{path} lacks {sorted(missing)} or is not of format {FORMAT}, which this "
            "version reads; use the version that wrote it"
        )
    return content


def exists(folder: Path) -> bool:
    """Whether a folder has been made a trajectory; it may hold no checkpoint yet."""
    return (folder / _CONFIG).exists() and (folder / "checkpoints").exists()


def create(folder: Path, content: dict[str, Any]) -> None:
    """Makes `folder` a trajectory of this identity, or checks that it is one.

    Raises:
      ValueError: it is a trajectory of another identity, or holds something else.
    """
    path = folder / _CONFIG
    if path.exists():
        (folder / "checkpoints").mkdir(exist_ok=True)
        compare(folder, content)
        return
    others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    if others:
        raise ValueError(
            f"{folder} holds {others[:5]} but no {_CONFIG}, so it is not a trajectory; "
            "record in a folder of its own"
        )
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    write_atomically(path, text.encode())
    (folder / "checkpoints").mkdir()


def compare(folder: Path, content: dict[str, Any]) -> None:
    """Checks that a trajectory folder is of this identity.

    Raises:
      ValueError: it is of another; says which keys differ.
    """
    old, new = _flat(read(folder)), _flat(content)
    absent = "(absent)"
    differ = [
        f"  {key}: {old.get(key, absent)} there, {new.get(key, absent)} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, absent) != new.get(key, absent)
    ]
    if differ:
        raise ValueError(
            f"{folder} holds a trajectory of another config:\n"
            + "\n".join(differ)
            + "\nrecord in another folder, go back to the values there, or delete the "
            "folder to train anew"
        )


def check(
    folder: str | os.PathLike,
    config: dict[str, Any],
    *,
    seeds: Sequence[int],
    steps: Sequence[int],
) -> None:
    """Checks that `record` with the same arguments would go on with what is there.

    Raises:
      ValueError: the folder's config, seeds or steps differ, or it is no trajectory.
    """
    place = Path(folder).expanduser().absolute()
    compare(place, identity(config, seeds, steps))


def lock(folder: Path) -> int:
    """Takes the exclusive lock of `folder`; the system frees it when the process ends.

    Returns:
      A file descriptor; closing it frees the lock.

    Raises:
      ValueError: another process holds it.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 1000, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise ValueError(
            f"{folder} is being recorded by {holder or 'another process'}; wait until it "
            "ends, stop it, or record in another folder"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return descriptor


def on_first_process(function: Callable[[], None]) -> None:
    """Runs `function` on process 0 alone; if it fails, every process raises the same."""
    if jax.process_count() == 1:
        function()
        return
    message = ""
    if jax.process_index() == 0:
        try:
            function()
        except (OSError, ValueError) as error:
            message = str(error) or repr(error)
    content = np.zeros(_MESSAGE_BYTES, np.uint8)
    encoded = message.encode()[:_MESSAGE_BYTES]
    content[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    content = np.asarray(multihost_utils.broadcast_one_to_all(content))
    if content.any():
        raise ValueError(bytes(content).rstrip(b"\0").decode(errors="replace"))


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys and the JSON of their values; the config's own keys stand alone."""
    flat = {}
    for key, value in content.items():
        if isinstance(value, dict) and value:
            inner = "" if key == "config" and not prefix else f"{prefix}{key}."
            flat |= _flat(value, inner)
        else:
            flat[f"{prefix}{key}"] = json.dumps(value, sort_keys=True)
    return flat
