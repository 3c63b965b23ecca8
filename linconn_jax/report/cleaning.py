"""The rows of one experiment, made ready for averaging."""

import dataclasses
import os
from typing import Any

import pandas as pd
from pandas.api.types import is_object_dtype

from linconn_jax import results
from linconn_jax.report.style import short

_NUMBERS = (
    "value",
    "k",
    "points",
    "examples",
    "step",
    "fit_step",
    "epoch",
    "fit_epoch",
)


@dataclasses.dataclass(frozen=True)
class Selection:
    """The rows that one experiment asked for.

    Attributes:
      rows: with the columns of `results.COLUMNS`, of networks that trained to the end.
        Lists are tuples, so that rows can be grouped by them.
      left_out: rows in which a network takes part whose training diverged; same columns.
      diverged: seeds whose training diverged, by width.
      notes: sentences on what is not in `rows`.
    """

    rows: pd.DataFrame
    left_out: pd.DataFrame
    diverged: dict[Any, tuple[int, ...]]
    notes: tuple[str, ...]


def select_rows(workdir: str | os.PathLike, experiment: str) -> Selection:
    """What an experiment of this name asked for when it ran last, as far as computed.

    Raises:
      ValueError: it has not been run in this workdir, or a file is damaged.
    """
    rows = results.load(workdir, experiment=experiment)
    for name in filter(lambda name: is_object_dtype(rows[name]), rows.columns):
        cells = [tuple(x) if isinstance(x, list) else x for x in rows[name]]
        rows[name] = pd.Series(cells, rows.index, dtype=object)
    for name in _NUMBERS:
        if not any(isinstance(x, tuple) for x in rows[name]):
            rows[name] = pd.to_numeric(rows[name])
    for name in ("seeds", "diverged"):
        cells = [x if isinstance(x, tuple) else () for x in rows[name]]
        rows[name] = pd.Series(cells, rows.index, dtype=object)
    diverged = _diverged(rows)
    bad = pd.Series(_touched(rows, diverged), rows.index, dtype=bool)
    notes = tuple(
        f"width {short(width)}: training of seed {', '.join(map(str, seeds))} diverged "
        "(its loss was no longer finite); every number in which it takes part is left "
        "out of the means and counted in the tables as left out"
        for width, seeds in diverged.items()
    )
    return Selection(rows[~bad], rows[bad], diverged, notes)


def _diverged(rows: pd.DataFrame) -> dict[Any, tuple[int, ...]]:
    found: dict[Any, set[int]] = {}
    marked = rows.loc[rows["diverged"] != (), ["width", "diverged"]].drop_duplicates()
    for width, seeds in marked.itertuples(index=False):
        found.setdefault(width, set()).update(seeds)
    return {width: tuple(sorted(seeds)) for width, seeds in found.items()}


def _touched(rows: pd.DataFrame, diverged: dict[Any, tuple[int, ...]]) -> list[bool]:
    """Whether a row is marked, or of a network that diverged later in its training."""
    if not diverged:
        return [False] * len(rows)
    columns = (rows[name] for name in ("width", "seeds", "reference", "diverged"))
    return [
        bool(marked)
        or not _networks(seeds, reference).isdisjoint(diverged.get(width, ()))
        for width, seeds, reference, marked in zip(*columns, strict=True)
    ]


def _networks(seeds: tuple[int, ...], reference: Any) -> set[Any]:
    """The seeds at the vertices and those that they were aligned to."""
    return {*seeds, *(reference if isinstance(reference, tuple) else (reference,))}
