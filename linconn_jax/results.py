"""Tidy rows on disk: one number a row, with everything that defines it.

Rows are kept in units of work (`files`), one for each key that produced some; asking
again for a key that is there reads the file instead of computing. Each experiment keeps
the list of the keys that it asked for. `load` gives the rows of a workdir, or of one
experiment, as a DataFrame, whose columns `COLUMNS` explains.
"""

import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from linconn_jax import files, parallel, provenance
from linconn_jax.columns import COLUMNS
from linconn_jax.files import Key
from linconn_jax.workdir import no_results

Row = dict[str, Any]


class Results:
    """The rows of one workdir, computed at most once for each key."""

    def __init__(self, workdir: str | os.PathLike):
        self.workdir = Path(workdir).absolute()
        self.folder = self.workdir / "results"
        self.reused = 0
        self.computed = 0

    def rows(self, key: Key, compute: Callable[[], Iterable[Row]]) -> list[Row]:
        """The rows of `key`: read if stored, else computed and stored.

        Args:
          key: JSON-able, defines the rows completely; its items become columns.
          compute: makes the rows; called only when nothing is stored. In a launch of
            several processes all of them call it and the first one stores.

        Raises:
          ValueError: the stored file is damaged, or of an earlier format.
        """
        path = files.unit_path(self.folder, key)
        if parallel.same_everywhere(path.exists()):
            self.reused += 1
            rows = _read(path)["rows"]
            return [{**key, **row} for row in rows]
        rows = list(compute())
        self.computed += 1
        if parallel.is_main_process():
            about = {"format": provenance.FORMAT, "provenance": provenance.here()}
            files.write_unit(self.folder, key, {**about, "rows": rows})
        return [{**key, **row} for row in rows]

    def has(self, key: Key) -> bool:
        """Whether the rows of `key` are on disk."""
        return files.unit_path(self.folder, key).exists()

    def request(
        self,
        experiment: str,
        keys: Iterable[Key],
        *,
        guessing: float | None = None,
        final: Mapping[int, int] = types.MappingProxyType({}),
    ) -> None:
        """Keeps the list of the keys that an experiment asks for, in their order.

        The rows are shared: another experiment may have asked for some.

        Args:
          experiment: its name.
          keys: of rows, stored or not.
          guessing: the training error of it, by which verdicts are drawn.
          final: the last step of training, by width.
        """
        path = _requests(self.workdir, experiment)
        units = list(dict.fromkeys(files.digest(key) for key in keys))
        if parallel.is_main_process():
            asked = {"experiment": experiment, "units": units, "guessing": guessing}
            files.write_sealed(path, {**asked, "final": list(final.items())})


def requested(workdir: str | os.PathLike) -> list[str]:
    """The experiments that have asked for rows of a workdir, by name."""
    return sorted(p.stem for p in (Path(workdir) / "requests").glob("[!.]*.json"))


def guessing(workdir: str | os.PathLike, experiment: str) -> float | None:
    """The training error of guessing, or None in workdirs of earlier versions.

    Raises:
      ValueError: the list of what the experiment asked for is damaged.
    """
    path = _requests(Path(workdir), experiment)
    return files.read_sealed(path).get("guessing") if path.exists() else None


def final_steps(workdir: str | os.PathLike, experiment: str) -> dict[int, int]:
    """The last step of training, by width; empty in workdirs of earlier versions.

    Raises:
      ValueError: the list of what the experiment asked for is damaged.
    """
    path = _requests(Path(workdir), experiment)
    return dict(files.read_sealed(path).get("final", ())) if path.exists() else {}


def missing(workdir: str | os.PathLike, experiment: str) -> tuple[int, int]:
    """How many measurements that an experiment asked for are not stored, and of how many.

    Raises:
      ValueError: the list of them is damaged.
    """
    units = _units(Path(workdir), experiment)
    return sum(not path.exists() for path in units), len(units)


def load(
    workdir: str | os.PathLike,
    *,
    experiment: str | None = None,
    quantities: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The rows of a workdir as a tidy DataFrame with the columns `COLUMNS`.

    Beside these, the options of the methods that took part are columns, by the names of
    their settings (`activation_matching.similarity`; None where two values took part),
    and `fit_NAME` and `part_NAME`; `columns.explained` says of any what it holds.

    Args:
      workdir: that experiments were given.
      experiment: only what this experiment asked for when it ran last, as far as it is
        computed, in its order; by default all rows, whoever asked for them.
      quantities: only rows of these quantities (most rows are a "value" at a point).

    Raises:
      ValueError: the folder holds no such results, those of an earlier format, or a
        damaged file.
    """
    folder = Path(workdir).absolute() / "results"
    own = None if experiment is None else _units(Path(workdir), experiment)
    paths = files.unit_paths(folder) if own is None else [p for p in own if p.exists()]
    if not paths and experiment not in requested(workdir):
        raise ValueError(no_results(Path(workdir), experiment))
    columns: dict[str, list] = {name: [] for name in COLUMNS}
    total = 0
    for path in paths:
        content = _read(path)
        rows = content["rows"]
        if quantities is not None:
            rows = [row for row in rows if row.get("quantity") in quantities]
        key, unit = content["key"], {"unit": path.stem}
        derived = {**_options(key), "mask_of": _mask_of(key.get("vertices", ()))}
        common = {**content["provenance"], **derived, **key, **unit}
        for name in common.keys() | {name for row in rows for name in row}:
            column = columns.setdefault(name, [])
            column += [None] * (total - len(column))  # units that lacked it
            column += [row.get(name, common.get(name)) for row in rows]
        total += len(rows)
    padded = {
        name: column + [None] * (total - len(column))
        for name, column in columns.items()
        if name in COLUMNS or any(value is not None for value in column)
    }
    return pd.DataFrame(padded)


def _options(identity: Any) -> Row:
    """The options of all methods that are named somewhere in what defines rows.

    Of a method that takes part with two values of an option there is none.
    """
    found: dict[str, list] = {}
    for name, value in _named(identity):
        if value not in (values := found.setdefault(name, [])):
            values.append(value)
    return {name: x[0] if len(x) == 1 else None for name, x in found.items()}


def _named(identity: Any) -> Iterator[tuple[str, Any]]:
    """Each option by its name and its method's, wherever it stands."""
    if not isinstance(identity, dict | list):
        return
    inner = identity
    if isinstance(identity, dict):
        method, options = identity.get("method"), identity.get("options")
        own = options if isinstance(options, dict) else {}
        yield from ((f"{method}.{option}", value) for option, value in own.items())
        inner = list(identity.values())
    for part in inner:
        yield from _named(part)


def _mask_of(vertices: Any) -> list[int] | None:
    """Seeds of the networks in which transplanted masks were found, as vertices say."""
    found: set[int] = set()
    for told in _within(vertices, "transplanted"):
        mask = (told or {}).get("mask") or {}
        found |= {network["seed"] for network in _within(_mask(mask), "network")}
    return sorted(found) or None


def _mask(told: Row) -> Any:
    """What says in which network a mask was found, without what it was moved by."""
    return told.get("permuted") or told.get("random") or told


def _within(told: Any, name: str) -> Iterable[Any]:
    """What stands under a name, wherever it does; not looked into any deeper."""
    if isinstance(told, dict) and name in told:
        return [told[name]]
    parts = told.values() if isinstance(told, dict) else told
    if not isinstance(told, dict | list):
        return []
    return [found for part in parts for found in _within(part, name)]


def check_format(workdir: str | os.PathLike) -> None:
    """Refuses a workdir whose rows are of an earlier format.

    Raises:
      ValueError: saying what to do.
    """
    for path in files.unit_paths(Path(workdir).absolute() / "results")[:1]:
        _read(path)


def _read(path: Path) -> Row:
    """A unit of rows that still count."""
    return provenance.checked(path, files.read_unit(path))


def _requests(workdir: Path, experiment: str) -> Path:
    return workdir / "requests" / f"{experiment}.json"


def _units(workdir: Path, experiment: str) -> list[Path]:
    """The units that an experiment asked for, stored or not."""
    path = _requests(workdir, experiment)
    if not path.exists():
        return []
    names = files.read_sealed(path)["units"]
    return [workdir.absolute() / "results" / f"{name}.json" for name in names]
