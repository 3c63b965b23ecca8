"""Tidy rows on disk: one number a row, with everything that defines it.

Rows are kept in units of work. A unit is one JSON file named by the digest of the key
that produced it, written whole or not at all; asking again for a key that is there reads
the file instead of computing. `load` gives all rows of a workdir as a DataFrame.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jaxlib
import pandas as pd

import linconn_jax
from linconn_jax import parallel
from linconn_jax.files import write_atomically

_OURS = re.compile("[0-9a-f]{16}")
"""How `digest` names a unit's file; other files in the folder are somebody else's."""

Row = dict[str, Any]
Key = Mapping[str, Any]

COLUMNS = {
    "quantity": "what value is: barrier, value (at a point), agreement, objective, ...",
    "value": "the number",
    "metric": "loss (cross-entropy, nats) or error (0-1)",
    "split": "train or test",
    "baseline": "of a barrier: interpolated, mean or max",
    "point": "of a value: barycentric coordinates, comma-separated",
    "at": "of a barrier: the coordinates where it is reached",
    "points": "number of points looked at",
    "examples": "number of examples averaged over",
    "precision": "float format of weights, activations and sums",
    "method": "naive, random, weight_matching or activation_matching",
    "path": "direct, or through (both ends aligned to a third network)",
    "k": "number of vertices",
    "seeds": "of the vertices, comma-separated",
    "reference": "seed that the others were aligned to",
    "step": "checkpoint that was interpolated",
    "fit_step": "checkpoint at which the permutation was found",
    "epoch": "step in passes over the training set",
    "fit_epoch": "fit_step in passes",
    "axis": "of an agreement: axis name, or all (weighted by units)",
    "vertex": "of an end point's value: seed of the vertex",
    "diverged": "seeds among the vertices whose training stopped at a non-finite loss",
    "dataset": "name of the data set",
    "model": "name of the model",
    "width": "width multiplier of the model",
    "config": "digest of what defines the training of the networks",
    "version": "of linconn_jax",
    "jax": "version",
    "device": "that computed the row",
}


class Results:
    """The rows of one workdir, computed at most once for each key."""

    def __init__(self, workdir: str | os.PathLike):
        self.folder = Path(workdir).absolute() / "results"
        self.reused = 0
        self.computed = 0

    def rows(self, key: Key, compute: Callable[[], Iterable[Row]]) -> list[Row]:
        """The rows of `key`: read if stored, else computed and stored.

        Args:
          key: JSON-able mapping that defines the rows completely (config digests,
            seeds, steps, method, points, ...); its items become columns.
          compute: makes the rows; called only when nothing is stored. In a launch of
            several processes all of them call it and the first one stores.

        Raises:
          ValueError: the stored file is damaged.
        """
        path = self.folder / f"{digest(key)}.json"
        if parallel.same_everywhere(path.exists()):
            self.reused += 1
            rows = _read(path)["rows"]
            return [{**key, **row} for row in rows]
        rows = list(compute())
        self.computed += 1
        if parallel.is_main_process():
            content = {"key": dict(key), "provenance": provenance(), "rows": rows}
            write_atomically(path, _sealed(content))
        return [{**key, **row} for row in rows]


def load(
    workdir: str | os.PathLike, *, quantities: Sequence[str] | None = None
) -> pd.DataFrame:
    """The rows of a workdir as a tidy DataFrame with the columns `COLUMNS`.

    Args:
      workdir: that experiments were given.
      quantities: only rows of these quantities (most rows are a "value" at a point).

    Raises:
      ValueError: the folder holds no results, or a damaged file.
    """
    folder = Path(workdir).absolute() / "results"
    files = [p for p in sorted(folder.glob("*.json")) if _OURS.fullmatch(p.stem)]
    if not files:
        raise ValueError(
            f"{folder} holds no results; run an experiment with --workdir={workdir} "
            "first, such as python -m experiments.weak --config=configs/digits.py"
        )
    columns: dict[str, list] = {name: [] for name in COLUMNS}
    total = 0
    for path in files:
        content = _read(path)
        rows = content["rows"]
        if quantities is not None:
            rows = [row for row in rows if row.get("quantity") in quantities]
        common = {**content["provenance"], **content["key"]}
        for name in common.keys() | {name for row in rows for name in row}:
            column = columns.setdefault(name, [])
            column += [None] * (total - len(column))  # units that lacked it
            default = common.get(name)
            column += [row.get(name, default) for row in rows]
        total += len(rows)
    padded = {n: c + [None] * (total - len(c)) for n, c in columns.items()}
    return pd.DataFrame(padded)


def provenance() -> Row:
    """Versions and device, stored beside every unit of rows."""
    device = jax.devices()[0]
    kind = platform.processor() or platform.machine()
    return {
        "version": linconn_jax.__version__,
        "jax": f"{jax.__version__} (jaxlib {jaxlib.__version__})",
        "device": f"{jax.device_count()} {device.device_kind}"
        + (f" {kind}" if device.platform == "cpu" else ""),
    }


def digest(key: Key) -> str:
    """Sixteen hex digits that name a JSON-able mapping, whatever its order."""
    canonical = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _sealed(content: dict[str, Any]) -> bytes:
    """`content` as JSON that begins with the SHA-256 of all that follows."""
    body = json.dumps(content)[1:].encode()
    return _seal(body) + body


def _seal(body: bytes) -> bytes:
    return f'{{"sha256": "{hashlib.sha256(body).hexdigest()}", '.encode()


_SEAL_LENGTH = len(_seal(b""))


def _read(path: Path) -> Any:
    content = path.read_bytes()
    seal, body = content[:_SEAL_LENGTH], content[_SEAL_LENGTH:]
    if seal != _seal(body):
        raise _damaged(path, "its SHA-256 is not that of its content")
    unit = json.loads(content)
    if digest(unit["key"]) != path.stem:
        raise _damaged(path, "it holds the rows of another key")
    return unit


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(
        f"the results file {path} is damaged: {what}; delete it and run the experiment "
        "again, which computes only what is missing"
    )
