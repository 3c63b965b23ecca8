"""Specs in words: names with sizes and nesting, and the labels of each leaf."""

import numpy as np

from linconn_jax.permutation._verify.random_inputs import is_array
from linconn_jax.permutation.spec import BoundSpec, Spec, bind_leaves
from linconn_jax.typing import PyTree


def describe(spec: Spec, variables: PyTree) -> str:
    """A tree of axis names with sizes, then path, shape and labels of each leaf.

    Args:
      spec: of any pytree.
      variables: arrays or `jax.ShapeDtypeStruct`s.

    Raises:
      ValueError: the spec does not fit the variables.
    """
    found, leaves = bind_leaves(spec, variables)
    rows = [
        (
            path or "(the only leaf)",
            "x".join(map(str, np.shape(leaf))) or "scalar",
            str(axes),
        )
        for path, leaf, axes in zip(found.paths, leaves, found.axes, strict=True)
        if is_array(leaf)
    ]
    names = describe_names(found)
    return "\n".join([*(names or ["no names"]), "", *table(rows)])


def describe_names(found: BoundSpec) -> list[str]:
    """`name  16 units` for each name; those that lie under others indented below them."""
    rows: list[tuple[str, str]] = []

    def add(above: str | None, depth: int) -> None:
        for name, parents in found.parents.items():
            permuted = [x for x in parents if x in found.parents]
            if (permuted[-1] if permuted else None) == above:
                each = " x ".join(f"{found.sizes[x]} {x}" for x in parents)
                text = f"{found.sizes[name]} units"
                rows.append(
                    ("  " * depth + name, text + f" for each of {each}" * bool(each))
                )
                add(name, depth + 1)

    add(None, 0)
    return table(rows)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, all columns but the last padded."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1:] = [0]
    return [
        "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True))
        for row in rows
    ]
