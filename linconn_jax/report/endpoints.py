"""Does permuting leave a network's own loss and error alone? Read from stored points."""

import numpy as np
import pandas as pd

from linconn_jax.report import select, style
from linconn_jax.report.tables import Table

_NETWORK = ["width", "seed", "step", "split", "metric", "examples"]


def check(rows: pd.DataFrame) -> Table | None:
    """Largest differences between a permuted network and itself, by width and method.

    Every segment and simplex has its vertices among its points, so the loss and error of
    each permuted network were measured there; those of the unpermuted one at a vertex
    that was left as it was.
    """
    ends = vertices(rows)
    if ends.empty:
        return None
    plain = ends[~ends["permuted"]].drop_duplicates(_NETWORK)
    moved = ends[ends["permuted"]].merge(plain, on=_NETWORK, suffixes=("", "_plain"))
    if moved.empty:
        return None
    moved["difference"] = (moved["value"] - moved["value_plain"]).abs()
    lines = []
    for width in select.widths(moved):
        for method in select.methods(moved):
            part = moved[(moved["width"] == width) & (moved["method"] == method)]
            if part.empty:
                continue
            cells = (
                f"{part.loc[part['metric'] == metric, 'difference'].max():.1g}"
                for metric in ("loss", "error")
            )
            lines.append((str(width), style.look(method).label, str(len(part)), *cells))
    caption = (
        "Largest absolute difference between a permuted network's own loss (nats) or "
        "error and the unpermuted one's, over all its end points, training and test data"
    )
    headers = ("width", "method", "numbers compared", "loss", "error")
    return Table(caption, headers, tuple(lines))


def vertices(rows: pd.DataFrame) -> pd.DataFrame:
    """The values at vertices, with the seed there and whether it was permuted."""
    found = select.values(rows)
    place = [_vertex(point) for point in found["point"]]
    is_end = np.array([p is not None for p in place], bool)
    ends = found.assign(place=place).loc[is_end]
    pairs = list(zip(ends["vertices"], ends["place"].astype(int), strict=True))
    ends["seed"] = [listed[i]["seed"] for listed, i in pairs]
    ends["permuted"] = [listed[i]["fit"] is not None for listed, i in pairs]
    ends["step"] = [listed[i]["step"] for listed, i in pairs]
    return ends


def _vertex(point: str) -> int | None:
    """Which vertex the coordinates are, or None inside."""
    parts = point.split(",")
    return parts.index("1") if "1" in parts else None
