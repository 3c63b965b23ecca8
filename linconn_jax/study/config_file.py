"""The file `config.json` of a workdir, which says what its networks are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linconn_jax import files, parallel
from linconn_jax.study import settings

GIVEN = {"networks": "given"}
"""In the config of networks that were trained elsewhere."""
_EARLIER = {"methods", "seeds", "widths"}
"""Settings that earlier versions wrote there, with none that says how to train."""


def check(workdir: Path, asked: settings.Settings) -> None:
    """Refuses a workdir with networks of another study.

    Widths, seeds, checkpoints and what is measured may change, and copies have a folder
    of their own. Networks and data given from Python are not compared.

    Raises:
      ValueError: naming the setting that differs.
    """
    stored = _stored(workdir)
    if GIVEN.items() <= stored.items():
        raise ValueError(
            f"{workdir} holds a comparison of networks that were trained elsewhere; a "
            "workdir is for one study: give another --workdir"
        )
    if not (stored and _has_networks(workdir)):
        return
    try:
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


def check_given(workdir: Path) -> None:
    """Refuses a workdir for networks that were trained elsewhere, if it is a study's.

    Raises:
      ValueError: it is.
    """
    stored = _stored(workdir)
    earlier = _EARLIER <= stored.keys() and stored.keys().isdisjoint(settings.DEFINING)
    own = earlier or GIVEN.items() <= stored.items()
    if _has_networks(workdir) or ((workdir / "config.json").exists() and not own):
        raise ValueError(
            f"{workdir} holds networks, or a config.json, of another study; a workdir is "
            "for one study: give another workdir"
        )


def _has_networks(workdir: Path) -> bool:
    return any(workdir.glob("trajectories/*/seeds_*"))


def _stored(workdir: Path) -> dict[str, Any]:
    """The config that is there; empty if there is none that is one."""
    path = workdir / "config.json"
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


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
