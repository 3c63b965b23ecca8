"""The file `config.json` of a workdir, which says what its networks are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linconn_jax import files, parallel
from linconn_jax.study import settings


def check(workdir: Path, asked: settings.Settings) -> None:
    """Refuses a workdir with networks of another study.

    Widths, seeds, checkpoints and what is measured may change, and copies have a folder
    of their own. Networks and data given from Python are not compared.

    Raises:
      ValueError: naming the setting that differs.
    """
    path = workdir / "config.json"
    if not (path.exists() and any(workdir.glob("trajectories/*/seeds_*"))):
        return
    try:
        stored = json.loads(path.read_bytes())
        known = {n: stored[n] for n in settings.DEFINING if n in stored}
        old = settings.defining(settings.parse(known, {}))
    except ValueError:  # by a version with other settings
        return
    new = settings.defining(asked)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            raise ValueError(
                f"{workdir} holds networks with {name}={old.get(name)!r}, and {name} is "
                f"{new.get(name)!r} now; a workdir is for one study: give another "
                "--workdir"
            )


def write(workdir: Path, config: Mapping[str, Any]) -> None:
    """Writes it, unless it says so already: the disk may be read only.

    What killed processes left half-written in the workdir is deleted.
    """
    if not parallel.is_main_process():
        return
    for room in ("", "results", "requests", "permutations", "report"):
        files.remove_unfinished(workdir / room)
    path = workdir / "config.json"
    text = json.dumps(config, indent=2, default=lambda x: x.tolist()).encode()
    if not (path.exists() and path.read_bytes() == text):
        files.write_atomically(path, text)
