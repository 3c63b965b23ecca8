"""Which rows of a workdir may be averaged together, and which may not."""

import dataclasses
import json
import re
from collections.abc import Sequence

import pandas as pd

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
_VERTEX = {"seed", "step", "fit"}
_FIT = {"method", "reference", "other", "step"}


@dataclasses.dataclass(frozen=True)
class Selection:
    """The rows of a workdir that may be averaged together, and those that may not.

    Attributes:
      rows: of one data set and model, one recipe a width, one grid a kind of simplex and
        one set of options a method, of networks that trained to the end. The column
        `last` marks the last recorded step of a width, `again` a naive simplex that is
        there in another order of its vertices too. Without values at points that no
        figure shows.
      left_out: rows in which a network takes part whose training diverged; same columns.
      diverged: seeds whose training diverged, by width.
      notes: sentences on what of the workdir is not in `rows`.
    """

    rows: pd.DataFrame
    left_out: pd.DataFrame
    diverged: dict[int, tuple[int, ...]]
    notes: tuple[str, ...]


def prepare(frame: pd.DataFrame) -> Selection:
    """Sorts the rows of `results.load` into those to average and those left out.

    Nothing is averaged over different recipes, grids or options: where a workdir holds
    several, the one with most rows is kept and a note says what was not.
    """
    rows = frame.copy()
    for name in _NUMBERS:
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
    rows["diverged"] = rows["diverged"].fillna("").astype(str)
    rows["path"] = rows["path"].fillna("")
    rows["seeds"] = rows["seeds"].fillna("").astype(str)
    rows["reference"] = [_seed_text(x) for x in rows["reference"]]
    rows["family"] = _families(rows)
    for name in ("vertices", "fits", "limit"):  # columns of some kinds of rows only
        rows[name] = rows.get(name, default=None)
    rows["options"] = _options(rows)
    rows["limit"] = rows["limit"].astype(object).where(rows["limit"].notna(), "all")
    notes: list[str] = []
    rows = _prefer(rows, (), ("dataset", "family"), notes)
    rows = _prefer(rows, ("width",), ("config",), notes)
    rows = _prefer(rows, ("k",), ("points", "limit", "precision"), notes)
    rows = _prefer(rows, ("method",), ("options",), notes)
    rows["last"] = rows["step"] == rows.groupby("width")["step"].transform("max")
    diverged = _diverged(rows)
    rows["again"] = _again(rows)
    rows = _light(rows[~_never_shown(rows)])
    bad = pd.Series(_touches(rows, diverged), rows.index, dtype=bool)
    for width, seeds in diverged.items():
        names = ", ".join(map(str, seeds))
        notes.append(
            f"width {width}: training of seed {names} diverged (its loss was no longer "
            "finite); every number in which it takes part is left out of the means and "
            "counted in the tables as left out"
        )
    return Selection(rows[~bad], rows[bad], diverged, tuple(notes))


def _families(rows: pd.DataFrame) -> list[str]:
    """The model's name with W for its width, the same for all widths of a study."""
    pairs = rows[["model", "width"]].drop_duplicates().itertuples(index=False)
    names = {(model, width): _family(str(model), width) for model, width in pairs}
    return [names[key] for key in zip(rows["model"], rows["width"], strict=True)]


def _family(model: str, width: int) -> str:
    places = list(re.finditer(rf"(?<!\d){width}(?!\d)", model))
    if not places:
        return model
    return model[: places[-1].start()] + "W" + model[places[-1].end() :]


def _seed_text(reference: float | str | None) -> str:
    """Seeds as text: pandas turns whole numbers into floats beside missing ones."""
    if isinstance(reference, str):
        return reference
    return "" if pd.isna(reference) else str(int(reference))


def _options(rows: pd.DataFrame) -> list[str]:
    """What a fit was asked for beside its method, as text."""
    known: dict[tuple[int, int], str] = {}  # the rows of a unit share one list
    texts = []
    for pair in zip(rows["vertices"], rows["fits"], strict=True):
        ids = (id(pair[0]), id(pair[1]))
        if ids not in known:
            known[ids] = _option_text(*pair)
        texts.append(known[ids])
    return texts


def _option_text(vertices: object, fits: object) -> str:
    found: dict = {}
    for listed, named in ((vertices, _VERTEX), (fits, _FIT)):
        for item in listed if isinstance(listed, list) else ():
            found |= {name: x for name, x in item.items() if name not in named}
    return json.dumps(found, sort_keys=True)


def _again(rows: pd.DataFrame) -> pd.Series:
    """Naive simplices that are an earlier one with its vertices in another order."""
    columns = ["width", "step", "seeds"]
    naive = (rows["method"] == "naive") & (rows["k"] >= 3)
    cases = rows.loc[naive, columns].drop_duplicates().sort_values("seeds")
    sets = [",".join(sorted(seeds.split(","))) for seeds in cases["seeds"]]
    late = cases[cases.assign(seeds=sets).duplicated(columns)]
    keys = pd.MultiIndex.from_frame(rows.loc[naive, columns])
    found = pd.Series(False, rows.index)
    found[naive] = keys.isin(pd.MultiIndex.from_frame(late))
    return found


def _never_shown(rows: pd.DataFrame) -> pd.Series:
    """Values inside simplices of more than three networks, and before the end.

    They are most of all rows, and every figure and table takes parts of the rest.
    """
    inside = [
        kind == "value" and "1" not in point.split(",")
        for kind, point in zip(rows["quantity"], rows["point"].fillna(""), strict=True)
    ]
    return pd.Series(inside, rows.index) & ((rows["k"] > 3) | ~rows["last"])


def _light(rows: pd.DataFrame) -> pd.DataFrame:
    """Without columns that no table or figure needs, and quicker to take parts of."""
    unused = {"at", "vertex", "model", "config", "limit", "fits", "record_at"}
    rows = rows.drop(columns=[name for name in rows if name in unused])
    texts = [n for n in rows if isinstance(rows[n].dtype, pd.StringDtype)]
    return rows.astype(dict.fromkeys(texts, object))


def _prefer(
    rows: pd.DataFrame, groups: Sequence[str], variant: Sequence[str], notes: list[str]
) -> pd.DataFrame:
    """Keeps, in each group, the variant with most rows; tells `notes` of the others."""
    known = rows[list(groups)].notna().all(axis=1) if groups else rows["value"].notna()
    counts = rows[known].groupby([*groups, *variant], dropna=False).size()
    if counts.empty:
        return rows
    table = counts.rename("rows").reset_index()
    table = table.sort_values("rows", ascending=False, kind="stable")
    best = table.drop_duplicates(list(groups)) if groups else table.head(1)
    for _, lost in table.drop(best.index).iterrows():
        what = ", ".join(f"{name} {lost[name]}" for name in (*groups, *variant))
        notes.append(
            f"{lost['rows']} rows of {what} are in this workdir but not in this report, "
            "which shows only what can be averaged together; give them a workdir of "
            "their own"
        )
    if len(best) == len(table):
        return rows
    lost = table.drop(best.index)[[*groups, *variant]]
    columns = [*groups, *variant]
    out = pd.MultiIndex.from_frame(rows[columns]).isin(pd.MultiIndex.from_frame(lost))
    return rows[~out]


def _diverged(rows: pd.DataFrame) -> dict[int, tuple[int, ...]]:
    found: dict[int, set[int]] = {}
    marked = rows.loc[rows["diverged"] != "", ["width", "diverged"]].drop_duplicates()
    for width, seeds in marked.itertuples(index=False):
        found.setdefault(int(width), set()).update(map(int, seeds.split(",")))
    return {width: tuple(sorted(seeds)) for width, seeds in sorted(found.items())}


def _touches(rows: pd.DataFrame, diverged: dict[int, tuple[int, ...]]) -> list[bool]:
    """Whether a diverged seed is a vertex, or the reference of an alignment."""
    verdict = {}
    cases = list(zip(rows["width"], rows["seeds"], rows["reference"], strict=True))
    for case in set(cases):
        width, seeds, reference = case
        names = {name for name in f"{seeds},{reference}".split(",") if name}
        verdict[case] = bool(names & set(map(str, diverged.get(width, ()))))
    return [verdict[case] for case in cases]
