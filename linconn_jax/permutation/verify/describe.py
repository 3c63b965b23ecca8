"""Specs in words: names with sizes and nesting, and the labels of each leaf."""

from collections.abc import Iterator

import numpy as np

from linconn_jax.permutation.spec import Layout, Spec, flatten, layout
from linconn_jax.permutation.verify.draws import is_array
from linconn_jax.typing import PyTree


def describe(spec: Spec, variables: PyTree) -> str:
    """A tree of axis names with sizes, then one line for each leaf.

    Args:
      spec: of any pytree.
      variables: arrays or `jax.ShapeDtypeStruct`s.

    Raises:
      ValueError: the spec does not fit the variables.
    """
    rows = [
        (path or "(the only leaf)", _shape(leaf), str(axes))
        for path, leaf, axes in flatten(spec, variables)[0]
        if is_array(leaf)
    ]
    return "\n".join(
        [*describe_names(layout(spec, variables)), "", *table(rows)] if rows else []
    )


def describe_names(found: Layout) -> list[str]:
    """`name  16 units` for each name; those that lie under others indented."""
    return table([("  " * depth + n, text) for depth, n, text in _names(found)])


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, all columns but the last padded."""
    if not rows:
        return []
    *widths, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join(
            [*(cell.ljust(n) for cell, n in zip(row, widths, strict=False)), row[-1]]
        )
        for row in rows
    ]


def _names(found: Layout) -> Iterator[tuple[int, str, str]]:
    """(depth, name, text), each name after the innermost of its parents."""
    children: dict[str | None, list[str]] = {}
    for name, parents in found.parents.items():
        permuted = [x for x in parents if x in found.parents]
        children.setdefault(permuted[-1] if permuted else None, []).append(name)
    stack = [(0, name) for name in reversed(children.get(None, []))]
    while stack:
        depth, name = stack.pop()
        text = f"{found.sizes[name]} units"
        if parents := found.parents[name]:
            text += " for each of " + " x ".join(
                f"{found.sizes[x]} {x}" for x in parents
            )
        yield depth, name, text
        stack += [(depth + 1, child) for child in reversed(children.get(name, []))]


def _shape(leaf: object) -> str:
    return "x".join(map(str, np.shape(leaf))) or "scalar"
