"""Does permuting leave a network's own loss and error alone? Read from stored points."""

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from linconn_jax.metrics import METRICS
from linconn_jax.report import select, style
from linconn_jax.report.style import short
from linconn_jax.report.tables import Table

_PERMUTED = {"network", "alignment", "i"}
"""Keys of the identity of a network that is permuted and else as it was."""


def check(rows: pd.DataFrame) -> Table | None:
    """Largest differences between a permuted network and itself, by width and method.

    Every segment and simplex has its vertices among its points, so the loss and error of
    each permuted network were measured there; those of the unpermuted one at a vertex
    that was left as it was. Rows that are there twice count once.
    """
    ends = select.where(rows, quantity="value").dropna(subset="vertex")
    here = [v[int(i)] for v, i in zip(ends["vertices"], ends["vertex"], strict=True)]
    permuted = ["network" in one and one.keys() <= _PERMUTED for one in here]
    own = [one["network"] if p else one for one, p in zip(here, permuted, strict=True)]
    ends = ends.assign(network=_texts(own), listed=_texts(ends["vertices"]))
    is_moved = pd.array(permuted, dtype=bool)
    same = ["network", "split", "metric", "examples"]
    once = ["listed", "vertex", "points", "precision", *same]
    moved = ends[is_moved].drop_duplicates(once)
    plain = ends[~is_moved].drop_duplicates(same)
    both = moved.merge(plain, on=same, suffixes=("", "_plain"))
    if both.empty:
        return None
    both["difference"] = (both["value"] - both["value_plain"]).abs()
    lines = []
    for width, method, part in select.groups(both):
        largest = [select.where(part, metric=m)["difference"].max() for m in METRICS]
        cells = (str(len(part)), *(f"{x:.1g}" for x in largest))
        lines.append((short(width), style.look(method).label, *cells))
    caption = (
        "Largest absolute difference between a permuted network's own loss (nats) or "
        "error and the unpermuted one's, over all its end points, training and test data"
    )
    return Table(caption, ("width", "method", "numbers compared", *METRICS), lines)


def _texts(identities: Iterable[Any]) -> list[str]:
    return [json.dumps(one, sort_keys=True) for one in identities]
