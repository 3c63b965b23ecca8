"""The order in which a function meets its groups of units, from inputs to outputs.

A spec sorts its names, and a tree its leaves, by the alphabet. In what order units are
used only the function says.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from linconn_jax.permutation._discover import examine
from linconn_jax.permutation.axis_layout import names
from linconn_jax.permutation.labels import Axes, Label, Stacked
from linconn_jax.permutation.spec import BoundSpec, Spec, bind
from linconn_jax.typing import PyTree

Groups = tuple[tuple[str, ...], ...]


def depth_order(
    apply: Callable[..., PyTree],
    variables: PyTree,
    *inputs: Any,
    spec: Spec | BoundSpec | None = None,
) -> Groups:
    """The names of a spec in groups, in the order in which `apply` first uses them.

    `apply` is traced, as in `discover`, and a name comes where the first array that has
    its units takes part in computing something from the inputs: what is done to
    variables alone (casts, weight norms) counts for nothing. A residual stream thus comes
    where it begins. Units that only variables have (the rank of a product of two
    kernels) come right after those they first stand beside.

    Args:
      apply: as in `discover`, and so are `variables` and `inputs`.
      variables: as there.
      *inputs: as there.
      spec: one written by hand or found before; found from `apply` by default.

    Returns:
      A tuple for each group: a name, and after it all that lie under it (what is inside
      attention heads belongs to the heads). Names that `apply` does not use come last.

    Raises:
      ValueError: the spec does not fit the variables.
    """
    found = examine(apply, variables, *inputs)
    bound = bind(found.spec if spec is None else spec, variables)
    depths: dict[str, float] = dict.fromkeys(bound.parents, math.inf)
    together: list[set[str]] = []
    for path, axes in zip(bound.paths, bound.axes, strict=True):
        for labels, there in _slices(axes, found.depths.get(path, [])):
            each = [depths.keys() & set(names(label)) for label in labels]
            together.append(set().union(*each))
            for here, depth in zip(each, there, strict=True):
                depths |= {name: min(depths[name], depth) for name in here}

    def place(name: str) -> tuple[float, ...]:
        under = float(len(bound.parents[name]))
        if depths[name] < math.inf:
            return depths[name], 0.0, under
        beside = set().union(*(some for some in together if name in some))
        return min((depths[x] for x in beside), default=math.inf), 1.0, under

    groups: dict[str, list[str]] = {}
    for name in sorted(depths, key=place):
        groups.setdefault(_head(name, bound), []).append(name)
    return tuple(
        (head, *(x for x in group if x != head)) for head, group in groups.items()
    )


def _head(name: str, bound: BoundSpec) -> str:
    """The outermost permuted name above it, or itself."""
    permuted = [x for x in bound.parents[name] if x in bound.parents]
    return _head(permuted[0], bound) if permuted else name


def _slices(
    axes: Axes | Stacked, known: Sequence[tuple[float, ...]]
) -> Iterable[tuple[tuple[Label, ...], tuple[float, ...]]]:
    """Labels of a leaf and where the units of each are met, slice by slice if need be.

    The spec may have names for each slice of a leaf that the function uses as a whole,
    and the other way round.
    """
    sliced = any(len(there) < axes.ndim for there in known)
    if isinstance(axes, Stacked):
        each = known if sliced else [there[1:] for there in known] * len(axes.axes)
        return zip((x.labels for x in axes.axes), each, strict=False)
    return ((axes.labels[1:] if sliced else axes.labels, there) for there in known)
