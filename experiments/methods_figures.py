"""Figures of methods compared: barriers against width, and agreements as a matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from linconn_jax.files import digest
from linconn_jax.metrics import METRICS
from linconn_jax.report import lines, select, style
from linconn_jax.report.sentences import DOTS

BARRIERS = (
    "Barrier of pairs of networks at the end of training against width, by each method; "
    "pale: the same method with other options. " + DOTS.format(what="pairs")
)
AGREEMENT = (
    "Fraction of units that two methods put in the same place, over all layers; means "
    "over pairs. Of naive and another: the fraction that it leaves where it was. Two "
    "unrelated permutations of n units agree on 1/n of them on average, as the line of "
    "the random permutation shows. On the diagonal stands nothing: how far two runs of "
    "one method agree is not measured here."
)
SPLITS = {"train": "training data", "test": "test data"}
_NAIVE = {"method": "naive", "options": {}}
_VARIANTS = ("-", "--", ":", "-.")


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the names of the method and its options that they are about.

    Returns:
      Them with columns `name`; `label`, of the method alone; `other`, of an agreement
      the name of the second; and `variant`, its number among those of its method.
    """
    each = [_found(row) for row in rows[["vertices", "fits"]].itertuples()]
    known: dict[str, dict[str, dict[str, Any]]] = {}
    for one in (x for several in each for x in several):
        known.setdefault(one["method"], {}).setdefault(digest(one["options"]), one)
    names = {
        (method, which): (_name(one, [*several.values()]), i)
        for method, several in known.items()
        for i, (which, one) in enumerate(several.items())
    }
    told = [
        [names[x["method"], digest(x["options"])] for x in several] for several in each
    ]
    columns = {
        "name": [several[0][0] for several in told],
        "label": [style.look(several[0]["method"]).label for several in each],
        "other": [several[-1][0] for several in told],
        "variant": [several[0][1] for several in told],
    }
    added = {
        name: pd.Series(x, rows.index, dtype=object) for name, x in columns.items()
    }
    return rows.assign(**added)


def _found(row: Any) -> list[Mapping[str, Any]]:
    """The alignments that a row is about, as far as they are identified."""
    if isinstance(row.fits, tuple):
        return [*row.fits]
    moved = [x["alignment"] for x in row.vertices if "alignment" in x]
    return moved[-1:] or [_NAIVE]


def _name(one: Mapping[str, Any], several: Sequence[Mapping[str, Any]]) -> str:
    """The method's label, and those of its options in which its variants differ."""
    label, options = style.look(one["method"]).label, one["options"]
    differ = [
        x for x in options if any(y["options"].get(x) != options[x] for y in several)
    ]
    words = [
        str(options[x]) if isinstance(options[x], str) else f"{x}={options[x]}"
        for x in differ
    ]
    return ", ".join([label, *words])


def names(rows: pd.DataFrame) -> dict[str, str]:
    """The names in the order of methods and their variants, with the method of each."""
    return {
        name: method
        for method in select.methods(rows)
        for name in _ordered(select.where(rows, method=method))
    }


def _ordered(rows: pd.DataFrame) -> list[str]:
    found = rows[["variant", "name"]].drop_duplicates().sort_values("variant")
    return found["name"].tolist()


def against_width(rows: pd.DataFrame) -> Figure:
    """Barriers against width; loss and error, training and test data."""
    figure, axes = style.figure(9.0, 6.4, 2, 2, sharey="row")
    variants = dict(zip(rows["name"], rows["variant"], strict=True))
    for i, metric in enumerate(METRICS):
        largest = select.where(rows, metric=metric)["value"].max()
        for j, (split, title) in enumerate(SPLITS.items()):
            part = select.where(rows, metric=metric, split=split)
            for name, method in names(part).items():
                n = variants[name]
                options = {"linestyle": _VARIANTS[n % 4], "dots": n == 0}
                options |= {"lightness": min(0.3 * n, 0.6), "label": name}
                lines.against(
                    axes[i, j], select.where(part, name=name), method, **options
                )
            style.level_axis(axes[i, j], select.levels(rows))
            style.barrier_axis(axes[i, j], metric, largest)
            axes[i, j].set_title(f"{metric}, {title}")
            axes[i, j].label_outer()
    style.legend_above(figure, 3)
    return figure


def agreements(rows: pd.DataFrame) -> pd.DataFrame:
    """Every agreement twice: of the one with the other, and the other way round."""
    turned = rows.rename(columns={"name": "other", "other": "name"})
    return pd.concat([rows, turned], ignore_index=True)


def agreement(rows: pd.DataFrame) -> Figure:
    """Mean agreement of any two methods, at a few widths."""
    widths, order = select.few(select.levels(rows)), compared(rows)
    size = (3.4 * len(widths) + 2.6, 5.2)
    figure, axes = style.figure(*size, 1, len(widths), sharey=True)
    both = agreements(rows)
    for axis, width in zip(axes[0], widths, strict=True):
        means = select.mean(select.where(both, width=width), ["name", "other"])
        table = means.pivot(index="name", columns="other", values="mean")
        numbers = table.reindex(index=order, columns=order).to_numpy(float)
        options = {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0, "aspect": "auto"}
        image = axis.imshow(numbers, **options)
        for (i, j), number in np.ndenumerate(numbers):
            colour = "white" if number < 0.5 else "black"
            text = "" if np.isnan(number) else f"{number:.2f}".replace("0.", ".")
            axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=7.5)
        axis.set_xticks(range(len(order)), order, rotation=90)
        axis.set_yticks(range(len(order)), order)
        axis.set_title(f"width {style.short(width)}")
        axis.grid(visible=False)
    figure.colorbar(image, ax=axes, label="fraction of units", shrink=0.7)
    return figure


def compared(rows: pd.DataFrame) -> list[str]:
    """The names of both sides of agreements, in order."""
    ordered = names(rows)
    return [*ordered, *(x for x in dict.fromkeys(rows["other"]) if x not in ordered)]
