"""Specs in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from linconn_jax.permutation.spec import BoundSpec, Spec, bind_leaves
from linconn_jax.typing import PyTree


def describe(spec: Spec, variables: PyTree) -> str:
    """A tree of axis names with sizes, then path, shape and labels of each leaf.

    Of a leaf that is state (`Axes.state`) the labels end with that word.

    Args:
      spec: of any pytree.
      variables: arrays or `jax.ShapeDtypeStruct`s.

    Raises:
      ValueError: the spec does not fit the variables.
    """
    found, leaves = bind_leaves(spec, variables)
    rows = []
    for path, leaf, axes in zip(found.paths, leaves, found.axes, strict=True):
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
            shape = "x".join(map(str, np.shape(leaf))) or "scalar"
            labels = f"{axes} state" if axes.state else str(axes)
            rows.append((path or "(the only leaf)", shape, labels))
    return "\n".join([*(describe_names(found) or ["no names"]), "", *table(rows)])


def describe_names(found: BoundSpec) -> list[str]:
    """`name  16 units` for each name; those that lie under others indented below them."""

    def chain(name: str) -> tuple[str, ...]:
        permuted = [x for x in found.parents[name] if x in found.parents]
        return (*(chain(permuted[-1]) if permuted else ()), name)

    rows = []
    for *above, name in sorted(map(chain, found.parents)):
        parents = found.parents[name]
        text = f"{found.sizes[name]} units" + " for each of " * bool(parents)
        text += " x ".join(f"{found.sizes[x]} {x}" for x in parents)
        rows.append(("  " * len(above) + name, text))
    return table(rows)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, all columns but the last padded."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1:] = [0]
    return [
        "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True))
        for row in rows
    ]


def few(items: Sequence[Any], most: int = 4) -> str:
    """The first items, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more
