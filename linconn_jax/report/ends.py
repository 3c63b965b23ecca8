"""What lies at the ends of barriers: a verdict is drawn between trained networks only.

Every segment and simplex has its vertices among its points, so what a verdict needs is in
rows of any age; what guessing gives is kept with the list of what was asked for.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from linconn_jax.barrier import TRAINED_SHARE
from linconn_jax.report.style import number, short

NearChance = dict[Any, dict[int, float]]
"""Training errors of the networks that end near chance, by width and seed."""
_NETWORK = {"config", "seed", "step"}
"""Keys of the identity of a network as it was trained."""
_PERMUTED = {"network", "alignment", "alignments", "parts", "i", "inverse"}
"""Keys of the identity of a network that is permuted and else as it was."""


def at_vertices(rows: pd.DataFrame) -> pd.DataFrame:
    """The values at vertices, with columns `here` (its identity) and `is_moved`.

    `here` of a network that is permuted, and else as it was, is that of the network.
    """
    found = rows[rows["quantity"] == "value"].dropna(subset="vertex")
    here = [v[int(i)] for v, i in zip(found["vertices"], found["vertex"], strict=True)]
    moved = ["network" in one and one.keys() <= _PERMUTED for one in here]
    own = [one["network"] if m else one for one, m in zip(here, moved, strict=True)]
    columns = {"here": own, "is_moved": moved}
    kinds = {"here": object, "is_moved": bool}
    added = {n: pd.Series(columns[n], found.index, dtype=k) for n, k in kinds.items()}
    return found.assign(**added)


def beside(rows: pd.DataFrame, guessing: float) -> pd.DataFrame:
    """The rows, with what the vertices of each one's measurement have by themselves.

    Args:
      rows: as loaded.
      guessing: the training error of it.

    Returns:
      Them with columns `ends`, the mean of the same metric on the same split over the
      vertices, and `is_judged`: every vertex is clearly below chance.
    """
    found, same = at_vertices(rows), ["unit", "split", "metric"]
    means = found.groupby(same, as_index=False)["value"].mean()
    rows = rows.merge(means.rename(columns={"value": "ends"}), how="left", on=same)
    worst = _training_errors(found).groupby("unit")["value"].max()
    errors = rows["unit"].map(worst).astype(float)
    return rows.assign(is_judged=errors <= TRAINED_SHARE * guessing)


def near_chance(
    rows: pd.DataFrame, guessing: float, final: Mapping[Any, int]
) -> NearChance:
    """Networks that are not clearly below chance at the end of training.

    Args:
      rows: as loaded.
      guessing: the training error of it.
      final: the last step of training, by width; of a width that it lacks, as in workdirs
        of earlier versions, the last one in the rows is taken for it.
    """
    errors: dict[tuple, float] = {}
    known = _training_errors(at_vertices(rows)).dropna(subset="value")
    for row in known.itertuples():
        if row.here.keys() == _NETWORK:
            name = (row.width, row.here["seed"], row.here["step"])
            # A wrong permutation is no fault of the network's.
            errors[name] = min(row.value, errors.get(name, row.value))
    last: dict[Any, int] = {}
    for width, _, step in errors:
        last[width] = final.get(width, max(step, last.get(width, step)))
    near: NearChance = {}
    for (width, seed, step), error in sorted(errors.items(), key=lambda x: x[0][1]):
        if step == last[width] and error > TRAINED_SHARE * guessing:
            near.setdefault(width, {})[seed] = error
    return near


def note(width: Any, near: Mapping[int, float], guessing: float) -> str:
    """Names the networks of a width that end near chance, and says what follows."""
    errors = short(tuple(map(number, near.values())))
    return (
        f"width {short(width)}: seed {short(tuple(near))} ends near chance (training "
        f"error {errors}; {criterion(guessing)}); between networks that did not learn a "
        "barrier means nothing, so every number in which it takes part is left out of "
        "means and verdicts, and counted as left out"
    )


def criterion(guessing: float) -> str:
    """Which training errors are near chance, as a part of a sentence."""
    known = "the" if guessing < 1 else "at most"
    return (
        f"above {number(TRAINED_SHARE * guessing)} is near chance, {TRAINED_SHARE:g} "
        f"times {known} {number(guessing)} of guessing the commonest class"
    )


def judged(rows: pd.DataFrame, column: str = "width") -> pd.DataFrame:
    """The rows of those levels of a column at which a verdict can be drawn.

    At them every vertex of every row is clearly below chance.
    """
    return rows[rows.groupby(column)["is_judged"].transform("all").astype(bool)]


def _training_errors(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["split"] == "train") & (rows["metric"] == "error")]
