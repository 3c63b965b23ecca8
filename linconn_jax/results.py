"""Tidy rows on disk: one number a row, with everything that defines it.

Rows are kept in units of work (`files`), one for each key that produced some; asking
again for a key that is there reads the file instead of computing. `load` gives all rows
of a workdir as a DataFrame.
"""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jaxlib
import pandas as pd

import linconn_jax
from linconn_jax import files, parallel
from linconn_jax.files import Key

Row = dict[str, Any]

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
        path = files.unit_path(self.folder, key)
        if parallel.same_everywhere(path.exists()):
            self.reused += 1
            rows = files.read_unit(path)["rows"]
            return [{**key, **row} for row in rows]
        rows = list(compute())
        self.computed += 1
        if parallel.is_main_process():
            content = {"provenance": provenance(), "rows": rows}
            files.write_unit(self.folder, key, content)
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
    paths = files.unit_paths(folder)
    if not paths:
        raise ValueError(
            f"{folder} holds no results; run an experiment with --workdir={workdir} "
            "first, such as python -m experiments.weak --config=configs/digits.py"
        )
    columns: dict[str, list] = {name: [] for name in COLUMNS}
    total = 0
    for path in paths:
        content = files.read_unit(path)
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
