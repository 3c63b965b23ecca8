"""The rows of experiments on one permutation for a whole sequence, as lines."""

import dataclasses
from typing import Any

import pandas as pd

from linconn_jax import align
from linconn_jax.report import select
from linconn_jax.report.style import short
from linconn_jax.study.sequences import SequenceKind

NAIVE, RANDOM, ALONE, JOINT = "naive", "random", "alone", "joint"
"""Where a permutation comes from: none, chance, one place, several places at once."""
ANEW = "anew"
"""A permutation found at every place by itself."""
SINGLE = 2
"""Up to so many permutations found at one place have names in a legend, and no scale."""


@dataclasses.dataclass(frozen=True)
class Line:
    """Barriers along the sequence.

    Attributes:
      name: in a table, under "P found at".
      source: NAIVE, RANDOM, ALONE, ANEW or JOINT.
      at: where the permutation was found: a number, or several.
      again: whether it is another draw, with another random key.
      rows: of the line.
    """

    name: str
    source: str
    at: Any
    again: bool
    rows: pd.DataFrame

    @property
    def means(self) -> pd.DataFrame:
        """Means at each place, in ascending order."""
        return select.mean(self.rows, ["place"]).sort_values("place")


def located(kind: SequenceKind, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with columns for where in the sequence the networks stand.

    `place` and `found` are numbers; `at` is where the permutation was found in words of
    its column, several places where it was found on several; `source` is as in `Line`.
    """
    name = f"fit_{kind.column}"
    said = rows[name] if name in rows else pd.Series(None, rows.index, dtype=object)
    each = zip(rows["method"], said, rows["vertices"], rows["fits"], strict=True)
    told = [_found(kind, *row) for row in each]
    source = pd.Series([x for x, _ in told], rows.index, dtype=object)
    at = pd.Series([x for _, x in told], rows.index, dtype=object)
    found = kind.places(rows, "fit_").where(source == ALONE)
    return rows.assign(place=kind.places(rows), found=found, at=at, source=source)


def _found(
    kind: SequenceKind, method: Any, at: Any, vertices: Any, fits: Any
) -> tuple[str, Any]:
    """Source of the permutation of a row, and where it was found.

    To how many places it was fitted only the networks of the alignment tell: those
    without the column of the kind say nothing of their place in it.
    """
    if method in (NAIVE, RANDOM):
        return method, at
    ends = vertices if isinstance(vertices, tuple) else ()
    moved = [end["alignment"] for end in ends if "alignment" in end]
    first, *_ = (*(fits if isinstance(fits, tuple) else moved), {})
    networks = first.get("networks", ())
    if len(networks) <= 2 and not isinstance(at, tuple):
        return ALONE, at
    told = at if isinstance(at, tuple) else (at,)
    if kind.otherwise is not None and 2 * len(told) < len(networks):
        told = (kind.otherwise, *told)
    return JOINT, told


def lines(kind: SequenceKind, found: pd.DataFrame) -> list[Line]:
    """All lines of located rows of one width, of which there are any."""
    each = []
    for source in (NAIVE, RANDOM):
        name = {NAIVE: "naive", RANDOM: align.method(RANDOM).label}[source]
        each.append(Line(name, source, None, False, select.where(found, source=source)))
    first, places = select.where(found, draw=0), select.levels(found, "place")
    each += [
        Line(f"{at:.3g}", ALONE, at, False, part)
        for at, part in select.where(first, source=ALONE).groupby("found")
        if len(places) == 1 or set(part["place"]) != {at}
    ]
    last = chosen(kind, found)
    again = found[found["draw"] > 0]
    each.append(
        Line(f"{last:.3g}, again", ALONE, last, True, select.where(again, found=last))
    )
    for part, more in ((first, ""), (again, ", again")):
        here = part[part["found"] == part["place"]]
        each.append(Line(f"each anew{more}", ANEW, None, bool(more), here))
    for part, more in ((first, ""), (again, ", again")):
        several = select.where(part, source=JOINT)
        each += [
            Line(f"{_together(at, places)}{more}", JOINT, at, bool(more), own)
            for at, own in sorted(several.groupby("at"), key=lambda x: len(x[0]))
        ]
    return [line for line in each if len(line.rows)]


def chosen(kind: SequenceKind, found: pd.DataFrame) -> float:
    """The place whose permutation others are compared with; NaN if there is none."""
    places = select.levels(found, "place")
    return places[kind.chosen] if places else float("nan")


def _together(at: tuple, places: list[float]) -> str:
    told = f"all {len(places)}" if len(at) == len(places) else short(at)
    return f"{told} at once"
