"""The rows of one experiment, made ready for averaging."""

import dataclasses
import os
from typing import Any

import pandas as pd

from linconn_jax import results
from linconn_jax.report.style import short


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
    for name in rows.columns[rows.isna().all()]:
        rows[name] = float("nan")  # instead of None, which is no number
    for name in rows.columns[rows.dtypes == "object"]:
        cells = [tuple(x) if isinstance(x, list) else x for x in rows[name]]
        rows[name] = pd.Series(cells, rows.index, dtype=object)
    for name in ("seeds", "diverged"):
        cells = [x if isinstance(x, tuple) else () for x in rows[name]]
        rows[name] = pd.Series(cells, rows.index, dtype=object)
    diverged: dict[Any, set[int]] = {}
    for width, seeds in zip(rows["width"], rows["diverged"], strict=True):
        if seeds:
            diverged.setdefault(width, set()).update(seeds)
    bad = pd.Series(_touched(rows, diverged), rows.index, dtype=bool)
    named = {width: tuple(sorted(seeds)) for width, seeds in diverged.items()}
    notes = tuple(
        f"width {short(width)}: training of seed {short(seeds)} diverged (its loss was "
        "no longer finite); every number in which it takes part is left out of the means "
        "and counted in the tables as left out"
        for width, seeds in named.items()
    )
    return Selection(rows[~bad], rows[bad], named, notes)


def _touched(rows: pd.DataFrame, diverged: dict[Any, set[int]]) -> list[bool]:
    """Whether a row is marked, or of a network that diverged later in its training."""
    found = []
    columns = (rows[name] for name in ("width", "seeds", "reference", "diverged"))
    for width, seeds, reference, marked in zip(*columns, strict=True):
        others = reference if isinstance(reference, tuple) else (reference,)
        gone = diverged.get(width, set())
        found.append(bool(marked) or not gone.isdisjoint((*seeds, *others)))
    return found
