"""What weight matching is fitted to: parameters, and no running statistics."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from linconn_jax.permutation import BoundSpec, Spec, bind, chosen_leaves
from linconn_jax.typing import PyTree, Variables

Leaves: TypeAlias = Callable[[str], bool] | PyTree | None
"""Which leaves are fitted: by a function of the path or a tree of bools; by default the
parameters."""
LEFT_OUT = ("nothing", "biases", "vectors")
"""What of the parameters may be left out."""
BIASES = ("bias", "b")
"""Names of biases: of the last part of a path, in Flax, Equinox and Haiku."""


def fitted(
    spec: Spec | BoundSpec,
    reference: Variables,
    other: Variables,
    chosen: Callable[[str], bool] | PyTree | None,
) -> tuple[Variables, set[int]]:
    """The reference, its other leaves taken from `other`; numbers of the fitted ones."""
    leaves, whole = _flat(other)
    numbered = whole.unflatten(range(len(leaves)))
    if chosen is None and _has_params(other):
        part = (lambda x: x["params"]) if _has_params(reference) else (lambda x: x)
        ours, structure = _flat(part(reference))
        numbers = jax.tree.leaves(numbered["params"])
        if structure != _flat(other["params"])[1]:
            return reference, set(numbers)  # which is an error further on
        state = _state(spec, whole)
        ours = [x for i, x in zip(numbers, ours, strict=True) if i not in state]
        numbers = [i for i in numbers if i not in state]
    else:
        every, structure = _flat(reference)
        if structure != whole:
            return reference, set()
        numbers = _numbers(bind(spec, other), chosen)
        ours = [every[i] for i in numbers]
    for i, leaf in zip(numbers, ours, strict=True):
        leaves[i] = leaf
    return whole.unflatten(leaves), set(numbers)


def trained(spec: Spec | BoundSpec, network: Variables) -> list[int]:
    """Numbers of the leaves of a network that are trained, and no running statistics."""
    return sorted(fitted(spec, network, network, None)[1])


def without(
    spec: Spec | BoundSpec, reference: Variables, other: Variables, left_out: str
) -> PyTree | None:
    """What is fitted when some of `LEFT_OUT` is not, as a tree of bools.

    "biases" are the leaves so named (`BIASES`), those of norm layers included, but not
    norm scales; "vectors" are all leaves of one axis. None stands for everything.

    Raises:
      ValueError: there are none to be left out.
    """
    if left_out == "nothing":
        return None
    bound, (leaves, whole) = bind(spec, other), _flat(other)
    _, numbers = fitted(spec, reference, other, None)
    named = [path.rsplit("/", 1)[-1] in BIASES for path in bound.paths]
    flat = [np.ndim(leaf) == 1 for leaf in leaves]
    out = {"biases": named, "vectors": flat}[left_out]
    if not any(out[i] for i in numbers):
        raise ValueError(
            f"leave_out={left_out!r} leaves out nothing of this network with leaves "
            f"{[bound.paths[i] for i in sorted(numbers)]}; biases are those called "
            f"{' or '.join(BIASES)}, vectors those of one axis: leave_out='nothing'"
        )
    return whole.unflatten([i in numbers and not out[i] for i in range(len(leaves))])


def _state(spec: Spec | BoundSpec, structure: Any) -> set[int]:
    """Numbers of the leaves that a spec calls state, if it is one of this structure."""
    if isinstance(spec, BoundSpec):
        axes = spec.axes
    else:
        try:
            axes = structure.flatten_up_to(spec)
        except (KeyError, TypeError, ValueError):  # which is an error further on
            return set()
    return {i for i, x in enumerate(axes) if getattr(x, "state", False)}


def _numbers(bound: BoundSpec, chosen: Any) -> list[int]:
    """Numbers of the leaves that a predicate or a tree of bools chooses, or the spec."""
    if chosen is None:
        return [i for i, axes in enumerate(bound.axes) if not axes.state]
    return chosen_leaves(bound, chosen)


def _has_params(tree: Any) -> bool:
    return isinstance(tree, Mapping) and "params" in tree


def _flat(tree: Any) -> tuple[list[Any], Any]:
    return jax.tree.flatten(tree, is_leaf=lambda x: x is None)
