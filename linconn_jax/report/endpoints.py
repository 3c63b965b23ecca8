"""Does permuting leave a network's own loss and error alone? Read from stored points."""

import json

import pandas as pd

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
    ends = vertices(rows)
    same = ["network", "split", "metric", "examples"]
    plain = ends[~ends["permuted"]].drop_duplicates(same)
    moved = ends[ends["permuted"]].merge(plain, on=same, suffixes=("", "_plain"))
    if moved.empty:
        return None
    moved["difference"] = (moved["value"] - moved["value_plain"]).abs()
    lines = []
    for width in select.levels(moved):
        for method in select.methods(moved):
            part = select.where(moved, width=width, method=method)
            if part.empty:
                continue
            cells = (
                f"{select.where(part, metric=metric)['difference'].max():.1g}"
                for metric in ("loss", "error")
            )
            label = style.look(method).label
            lines.append((short(width), label, str(len(part)), *cells))
    caption = (
        "Largest absolute difference between a permuted network's own loss (nats) or "
        "error and the unpermuted one's, over all its end points, training and test data"
    )
    headers = ("width", "method", "numbers compared", "loss", "error")
    return Table(caption, headers, lines)


def vertices(rows: pd.DataFrame) -> pd.DataFrame:
    """The values at vertices, with the network there and whether it was permuted."""
    ends = select.where(rows, quantity="value").dropna(subset="vertex")
    listed = [json.dumps(known, sort_keys=True) for known in ends["vertices"]]
    ends = ends.assign(listed=listed).drop_duplicates(
        ["listed", "vertex", "split", "metric", "examples", "points", "precision"]
    )
    here = [
        known[int(i)] for known, i in zip(ends["vertices"], ends["vertex"], strict=True)
    ]
    permuted = ["network" in one and one.keys() <= _PERMUTED for one in here]
    networks = [
        json.dumps(one["network"] if moved else one, sort_keys=True)
        for one, moved in zip(here, permuted, strict=True)
    ]
    return ends.assign(network=networks, permuted=pd.array(permuted, dtype=bool))
