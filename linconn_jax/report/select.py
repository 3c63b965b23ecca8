"""The rows of an experiment, parts of them, and means over them."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from linconn_jax import align, results
from linconn_jax.report import ends
from linconn_jax.report.style import short


@dataclasses.dataclass(frozen=True)
class Selection:
    """The rows that one experiment asked for.

    Attributes:
      rows: with the columns of `results.COLUMNS` and those of `ends.beside`, of networks
        that learned something. Lists are tuples, so that rows can be grouped by them.
      left_out: rows in which a network takes part whose training diverged or that ends
        near chance; same columns.
      diverged: seeds whose training diverged, by width.
      notes: sentences on what is not in `rows`.
      near_chance: seeds that end near chance, by width, with their training errors.
      guessing: the training error of guessing the commonest class; where the workdir
        does not say it 1, which it cannot exceed.
    """

    rows: pd.DataFrame
    left_out: pd.DataFrame
    diverged: dict[Any, tuple[int, ...]]
    notes: tuple[str, ...]
    near_chance: ends.NearChance = dataclasses.field(default_factory=dict)
    guessing: float = 1.0

    @property
    def everything(self) -> pd.DataFrame:
        """The rows, and after them those left out; a column `is_left_out` tells which."""
        parts = ((self.rows, False), (self.left_out, True))
        return pd.concat([part.assign(is_left_out=left) for part, left in parts])


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
    rows["draw"] = rows["draw"].fillna(0)
    for name in ("seeds", "diverged"):
        cells = [x if isinstance(x, tuple) else () for x in rows[name]]
        rows[name] = pd.Series(cells, rows.index, dtype=object)
    said = results.guessing(workdir, experiment)
    guessing = 1.0 if said is None else said
    rows = ends.beside(rows, guessing)
    # A level or copy that diverged says nothing of others.
    elsewhere = [x for x in ("level", "spawned_at", *_FOUND) if x in rows]
    dense_ = rows[elsewhere].isna().all(axis=1)
    marked = rows.loc[dense_, ["width", "diverged"]].explode("diverged").dropna()
    stopped = marked.groupby("width", sort=False)["diverged"]
    diverged = {width: tuple(sorted(set(seeds))) for width, seeds in stopped}
    final = results.final_steps(workdir, experiment)
    near = ends.near_chance(rows, guessing, final)
    gone = {w: (*diverged.get(w, ()), *near.get(w, ())) for w in [*diverged, *near]}
    bad = pd.Series(_touched(rows, gone), rows.index, dtype=bool)
    notes = [
        f"width {short(width)}: training of seed {short(seeds)} diverged (its loss was "
        "no longer finite); every number in which it takes part is left out of the means "
        "and counted in the tables as left out"
        for width, seeds in diverged.items()
    ]
    notes += _stopped(rows[~dense_], diverged)
    notes += [ends.note(width, seeds, guessing) for width, seeds in near.items()]
    missing, of = results.missing(workdir, experiment)
    if missing:
        notes.append(
            f"{missing} of the {of} measurements that {experiment} asked for are not on "
            "disk (not computed yet, or removed since); run it again, which computes "
            "only what is missing"
        )
    return Selection(rows[~bad], rows[bad], diverged, tuple(notes), near, guessing)


_FOUND = ("fit_level", "fit_spawned_at")
"""Where a permutation was found, if not on the dense networks of the seeds."""
_PLACES = ["width", "level", "mask", "spawned_at"]


def _stopped(rows: pd.DataFrame, dense: dict[Any, tuple[int, ...]]) -> list[str]:
    """Which networks that are not those of their seed diverged: pruned ones and copies.

    Rows of several networks tell seeds only, so those without an alignment are looked
    at, whose networks all stand at one place.
    """
    alone = rows[(rows["method"] == "naive") & (rows["diverged"].map(len) > 0)]
    found = alone[[*_PLACES, "diverged"]].explode("diverged").drop_duplicates()
    notes = []
    for (width, *place), part in found.groupby(_PLACES, dropna=False, sort=False):
        seeds = tuple(sorted({*part["diverged"]} - {*dense.get(width, ())}))
        words = ("level {} of pruning", "{} mask", "copies spawned at epoch {}")
        told = zip(words, place, strict=True)
        where_ = ", ".join(w.format(short(x)) for w, x in told if not _is_nothing(x))
        if seeds:
            notes.append(
                f"width {short(width)}, {where_}: training of seed {short(seeds)} "
                "diverged; every number in which that network takes part is left out, so "
                "that there are fewer networks or pairs there"
            )
    return notes


def _is_nothing(cell: Any) -> bool:
    return not isinstance(cell, tuple) and pd.isna(cell)


def _touched(rows: pd.DataFrame, stopped: dict[Any, tuple[int, ...]]) -> list[bool]:
    """Whether a row is marked, or of a network that came to nothing later in training.

    A network takes part in what was aligned to it, and in what was trained under a mask
    that was found in it.
    """
    found = []
    names = ["width", "seeds", "reference", "mask_of", "diverged"]
    for row in rows[names].itertuples(index=False):
        others = [
            seed
            for cell in (row.reference, row.mask_of)
            for seed in (cell if isinstance(cell, tuple) else [cell])
        ]
        gone = stopped.get(row.width, ())
        found.append(
            bool(row.diverged) or any(s in gone for s in (*row.seeds, *others))
        )
    return found


def where(rows: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The rows that have these values in these columns."""
    wanted = pd.Series(True, rows.index)
    for name, value in columns.items():
        wanted &= rows[name] == value
    return rows[wanted]


def barriers(
    rows: pd.DataFrame, baseline: str = "interpolated", **columns: Any
) -> pd.DataFrame:
    """The barriers over one baseline, such as `barriers(rows, split="train")`."""
    return where(rows, quantity="barrier", baseline=baseline, **columns)


def mean(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean, min, max and count of `value` over the rows of each group.

    A group that holds a number that is NaN has no mean: it is not skipped over.
    """
    groups = rows.groupby(list(by), dropna=False)["value"]
    found = groups.agg(["mean", "min", "max", "count", "size"]).reset_index()
    whole = found["count"] == found["size"]
    for name in ("mean", "min", "max"):
        found[name] = found[name].where(whole)
    return found.drop(columns="count").rename(columns={"size": "count"})


def points(rows: pd.DataFrame) -> str:
    """`67 points each, 37 of them inside`, of pairs or of simplices of one size."""
    said = []
    for column, words in (("points", "points each"), ("inside", "of them inside")):
        counts = ", ".join(f"{n:.0f}" for n in levels(rows, column))
        said += [f"{counts} {words}"] if counts else []
    return ", ".join(said)


def levels(rows: pd.DataFrame, column: str = "width") -> list[Any]:
    """The different values of a column, in ascending order."""
    found = rows[column].dropna().drop_duplicates().tolist()
    return sorted(found, key=lambda level: (isinstance(level, tuple), level))


def few(found: Sequence[Any]) -> list[Any]:
    """The first, the middle and the last of ascending values; none of none."""
    return sorted({found[0], found[len(found) // 2], found[-1]}) if found else []


def methods(rows: pd.DataFrame, *, aligning: bool = False) -> list[str]:
    """The methods, as registered; if `aligning`, those meant to lower barriers."""
    known, found = align.methods(), list(rows["method"].dropna().unique())
    ordered = [m for m in known if m in found]
    ordered += sorted((m for m in found if m not in known), key=str)
    return [m for m in ordered if not aligning or m not in known or known[m].aligns]


def groups(
    rows: pd.DataFrame, column: str = "width"
) -> Iterator[tuple[Any, str, pd.DataFrame]]:
    """A level of a column, a method, and their rows: for all that there are, in order."""
    for level in levels(rows, column):
        for method in methods(rows):
            part = where(rows, **{column: level, "method": method})
            if len(part):
                yield level, method, part
