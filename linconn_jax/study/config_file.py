"""The file `config.json` of a workdir, which says what its networks are."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from linconn_jax import files, parallel
from linconn_jax.study import settings

GIVEN = {"networks": "given"}
"""In the config of networks that were trained elsewhere."""
_EARLIER = {"methods", "seeds", "widths"}
"""Settings that earlier versions wrote there, with none that says how to train."""


def check(workdir: Path, asked: settings.Settings | None) -> None:
    """Refuses a workdir that is in use by another study.

    Widths, seeds, checkpoints and what is measured may change, and copies have a folder
    of their own. Networks and data given from Python are not compared. A config with
    which nothing was trained or measured yet stands in nobody's way.

    Args:
      workdir: where everything is kept.
      asked: the settings; None of networks that were trained elsewhere.

    Raises:
      ValueError: naming what differs.
    """
    wrong = _difference(workdir, asked)
    if wrong and (asked is None or _has_begun(workdir)):
        raise ValueError(f"{wrong}; a workdir is for one study: give another workdir")


@contextlib.contextmanager
def kept(
    workdir: Path, asked: settings.Settings | None, config: Mapping[str, Any]
) -> Iterator[None]:
    """Writes the config; inside, no process gives the workdir one of another study.

    Raises:
      ValueError: as `check`, or a process is at work there on another study.
    """
    if not parallel.is_main_process():
        yield
        return
    with contextlib.ExitStack() as inside:
        room = None if asked is None else workdir / "trajectories"
        used = inside.enter_context(_lock_file(room))
        with _lock_file(workdir) as whole:
            _take(whole, fcntl.LOCK_EX)  # so that looking and writing are one
            check(workdir, asked)
            wrong = _difference(workdir, asked)
            if wrong and not _take(used, fcntl.LOCK_EX | fcntl.LOCK_NB):
                raise ValueError(
                    f"{wrong}, and a process is at work there; wait until it ends, or "
                    "give another workdir"
                )
            _write(workdir, config)
            _take(used, fcntl.LOCK_SH)
        yield


def _difference(workdir: Path, asked: settings.Settings | None) -> str:
    """What the workdir is for, if not for this study."""
    stored, there = _stored(workdir), (workdir / "config.json").exists()
    if asked is None:
        brief = stored.keys() >= _EARLIER and stored.keys().isdisjoint(
            settings.DEFINING
        )
        own = not there or brief or GIVEN.items() <= stored.items()
        other = f"{workdir} holds a config.json, or networks, of another study"
        return "" if own and not _has_networks(workdir) else other
    if GIVEN.items() <= stored.items():
        return f"{workdir} holds a comparison of networks that were trained elsewhere"
    try:
        known = {n: stored[n] for n in settings.DEFINING if n in stored}
        old = settings.defining(settings.parse(known, {}))
    except ValueError:  # by a version with other settings
        return ""
    new = settings.defining(asked)
    for name in sorted(old.keys() | new.keys()) if stored else ():
        if old.get(name) != new.get(name):
            return (
                f"{workdir} is of a study with {name}={old.get(name)!r}, and {name} is "
                f"{new.get(name)!r} now"
            )
    return ""


def _has_networks(workdir: Path) -> bool:
    return any(workdir.glob("trajectories/*/seeds_*"))


def _has_begun(workdir: Path) -> bool:
    """Whether anything was trained or measured; what was given is soon."""
    given = GIVEN.items() <= _stored(workdir).items()
    return given or _has_networks(workdir) or any(files.unit_paths(workdir / "results"))


def _stored(workdir: Path) -> dict[str, Any]:
    """The config that is there; empty if there is none that is one."""
    path = workdir / "config.json"
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(workdir: Path, config: Mapping[str, Any]) -> None:
    """Writes it, unless it says so already: the disk may be read only.

    What killed processes left half-written in the workdir is deleted.
    """
    for room in ("", "results", "requests", "permutations", "masks", "report"):
        files.remove_unfinished(workdir / room)
    path = workdir / "config.json"
    text = json.dumps(config, indent=2, default=lambda x: x.tolist()).encode()
    if not (path.exists() and path.read_bytes() == text):
        files.write_atomically(path, text)


@contextlib.contextmanager
def _lock_file(folder: Path | None) -> Iterator[int | None]:
    """A file to be locked; None where none can be made, as on a disk to be read only."""
    if folder is None:
        yield None
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        yield None
        return
    try:
        yield found
    finally:
        os.close(found)  # which frees the lock


def _take(file: int | None, how: int) -> bool:
    """Whether the lock is free; where there are no locks it is."""
    try:
        if file is not None:
            fcntl.flock(file, how)
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True
