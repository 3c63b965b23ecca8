"""What each figure plots, with the facts that define its numbers, read from the rows."""

import pandas as pd

from linconn_jax.report import select, style
from linconn_jax.report.figures.strong import triangles

_DOTS = (
    "Lines are means, dots single {what}. The axis is linear up to 0.02 and logarithmic "
    "above; dotted: error barrier 0.02, at or below which two networks count as "
    "linearly mode connected."
)

TEXTS = {
    "overview": (
        "Training loss barriers of all three claims at a glance: of pairs against "
        "width; of one permutation all along training; of pairs and simplices against "
        "width."
    ),
    "training": (
        "Training loss and error, averaged over the batches since the checkpoint "
        "before; thin lines are single seeds, thick ones their mean."
    ),
    "weak_width": (
        "Barrier of pairs of networks at the end of training against width. "
        + _DOTS.format(what="pairs")
    ),
    "weak_segment": (
        "Training loss and error along the segment (1−α)θ₁ + αθ₂ between two "
        "networks, the second as it is (naive) or aligned to the first. Thick lines "
        "are means over pairs, thin ones single pairs."
    ),
    "simultaneous_lines": (
        "Mean training barrier between two networks at epoch t′ when the second is "
        "permuted by P_t, found at epoch t: a line for each t. Diamonds: found anew "
        "at each t′; dashed: naive. The vertical axis is linear up to 0.02 and "
        "logarithmic above; dotted: error barrier 0.02."
    ),
    "simultaneous_matrix": (
        "The same means as a matrix: P found at epoch t (rows), applied at epoch t′ "
        "(columns); last row naive."
    ),
    "agreement": (
        "Fraction of units that P_t and P_T, the permutation found at the end, put in "
        "the same place, by layer and over all units; 1 at the end by definition. Two "
        "unrelated permutations of n units agree on 1/n of them on average; how far two "
        "alignments of the same networks would agree is not measured here."
    ),
    "strong_width": (
        "Training barrier against width of pairs aligned directly, of pairs whose "
        "ends are both aligned to a third network, and of simplices of networks all "
        "aligned to one of them (naive simplices are in the table). "
        + _DOTS.format(what="pairs or simplices")
    ),
    "simplex_triangle": (
        "Training loss at every point of the triangle that three networks span, naive "
        "and after aligning the others to the first; one colour scale for all."
    ),
}

_ROWS = {
    "overview": lambda rows: select.barriers(rows),
    "training": select.training,
    "weak_width": lambda rows: select.barriers(select.weak(rows)),
    "weak_segment": lambda rows: select.values(select.weak(rows)),
    "simultaneous_lines": lambda rows: select.barriers(select.simultaneous(rows)),
    "simultaneous_matrix": lambda rows: select.barriers(select.simultaneous(rows)),
    "agreement": select.agreement,
    "strong_width": lambda rows: select.barriers(
        pd.concat([select.weak(rows), select.through(rows), select.simplices(rows)])
    ),
    "simplex_triangle": lambda rows: select.values(triangles(rows)),
}
_TRAIN_ONLY = set(TEXTS) - {"weak_width", "training", "agreement"}


def caption(name: str, rows: pd.DataFrame) -> str:
    """The text under a figure."""
    found = _ROWS[name](rows)
    if name in _TRAIN_ONLY:
        found = found[found["split"] == "train"]
    said = [TEXTS[name], facts(found)]
    along = select.simultaneous(rows)
    if name == "overview" and len(along):
        said.append(f"In the middle: {_pairs(along)}, aligned by {_methods(along)}.")
    return " ".join(said)


def facts(rows: pd.DataFrame) -> str:
    """Data set, model, split, baseline, points, examples, vertices and seeds of rows."""
    said = [f"Data set {_all(rows, 'dataset')}; model {_all(rows, 'family')}"]
    for split in ("train", "test"):
        counts = rows.loc[rows["split"] == split, "examples"].dropna().unique()
        if len(counts):
            said.append(f"{split}: {', '.join(f'{n:.0f}' for n in counts)} examples")
    if rows["baseline"].notna().any():
        said.append(f"baseline: {_all(rows, 'baseline')}")
    for k, part in rows.dropna(subset="k").groupby("k"):
        points = ", ".join(f"{n:.0f}" for n in sorted(part["points"].unique()))
        what = _pairs(part) if k == 2 else _simplices(part, int(k))
        said.append(f"{what}, {points} points each")
    if _methods(rows):
        said.append(f"aligned by {_methods(rows)}")
    if rows["precision"].notna().any():
        said.append(f"{_all(rows, 'precision')}")
    seeds = {seed for text in rows["seeds"].unique() for seed in text.split(",")}
    said.append(f"seeds {', '.join(sorted(seeds, key=int))}")
    return "; ".join(said) + "."


def _pairs(rows: pd.DataFrame) -> str:
    count = rows["seeds"].nunique()
    return f"{count} pair{'s' if count > 1 else ''}"


def _simplices(rows: pd.DataFrame, k: int) -> str:
    count = rows["seeds"].nunique()
    return f"{count} {'simplices' if count > 1 else 'simplex'} of {k} networks"


def _methods(rows: pd.DataFrame) -> str:
    methods = [m for m in select.methods(rows) if m not in ("naive", "random")]
    return " or ".join(style.look(m).label for m in methods)


def _all(rows: pd.DataFrame, column: str) -> str:
    return ", ".join(str(x) for x in sorted(rows[column].dropna().unique()))
