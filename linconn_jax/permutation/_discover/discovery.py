"""`discover`: trace a function, follow its axes, read the spec off."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from linconn_jax import trees
from linconn_jax.permutation._discover import (  # noqa: F401 - rules register themselves
    contraction,
    control,
    elementwise,
    layout,
    nesting,
    slicing,
)
from linconn_jax.permutation._discover.interpret import interpret
from linconn_jax.permutation._discover.labelling import (
    Labeller,
    freeze_unused,
    terms_of,
)
from linconn_jax.permutation._discover.terms import Term, atoms, freeze, size
from linconn_jax.permutation._discover.values import Leaf, Trace, Value, constant
from linconn_jax.permutation.labels import Axes
from linconn_jax.permutation.spec import Spec
from linconn_jax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Discovery:
    """The spec of a function, and what is known beside it.

    Attributes:
      spec: tree of `Axes` and `Stacked` with the structure of the variables.
      stays: `{path of a leaf: reason for each axis}`, None where units move: why an axis
        cannot be permuted.
      unknown: primitives without a rule, and where in the code they were called. The
        axes that they touch stay, so symmetries may be missing.
    """

    spec: Spec
    stays: dict[str, tuple[str | None, ...]]
    unknown: tuple[str, ...]


def discover(apply: Callable[..., PyTree], variables: PyTree, *inputs: Any) -> Spec:
    """The permutation symmetries of `apply`, found by tracing it.

    `apply` is traced to a program of JAX primitives (nothing is computed). Each axis of
    each leaf gets a symbol; every primitive ties symbols together, gives them structure
    or freezes them, so that what is left free can be permuted without a change of the
    outputs. A primitive that is not known freezes the axes that it touches: a symmetry
    may be missed, a wrong one is never found.

    Args:
      apply: `apply(variables, *inputs)`, any function that JAX can trace, with any tree
        of arrays as output.
      variables: any pytree of arrays or `jax.ShapeDtypeStruct`s; leaves that are not
        arrays (functions, strings) are passed on as they are and get no labels.
      *inputs: example inputs, arrays or `jax.ShapeDtypeStruct`s, of which only shapes
        and dtypes matter, or settings (`True`, strings, numbers) passed on as they are.
        Give at least 2 examples: an axis of length 1 ties nothing.

    Returns:
      The spec: a tree with the structure of `variables` whose leaves name axes.

    Raises:
      ValueError: there are no array leaves.

    Warns:
      UserWarning: a primitive is not known, with its place in the code.
    """
    found = examine(apply, variables, *inputs)
    if found.unknown:
        calls = "; ".join(found.unknown)
        warnings.warn(
            f"no rule for the primitives {calls}: all axes that they touch stay, so "
            "that symmetries may be missing from the spec",
            stacklevel=2,
        )
    return found.spec


def examine(apply: Callable[..., PyTree], variables: PyTree, *inputs: Any) -> Discovery:
    """`discover`, and why the axes that stay do so. Arguments and errors are the same."""
    flat, structure = jax.tree_util.tree_flatten_with_path(variables)
    leaves = {
        i: Leaf(trees.path_name(path), np.shape(leaf))
        for i, (path, leaf) in enumerate(flat)
        if _is_array(leaf)
    }
    if not leaves:
        raise ValueError(
            "variables has no array leaves; pass the tree of parameters that apply takes "
            "as its first argument"
        )
    arrays, whole = _apart((variables, inputs))

    def of_arrays(given: list[Any]) -> PyTree:
        variables, inputs = whole(given)
        return apply(variables, *inputs)

    program = jax.make_jaxpr(of_arrays)(arrays)
    trace = _follow(program, list(leaves.values()))
    freeze_unused(leaves.values(), trace.seen)
    seen = (*trace.seen, *(t for leaf in leaves.values() for t in terms_of(leaf)))
    labeller = Labeller(trace.written, leaves.values(), nesting.parents(seen))
    labels = [
        labeller.leaf(leaves[i]) if i in leaves else Axes() for i in range(len(flat))
    ]
    stays = {leaf.path: _reasons(leaf) for leaf in leaves.values()}
    unknown = tuple(dict.fromkeys(trace.unknown))
    return Discovery(jax.tree.unflatten(structure, labels), stays, unknown)


def _apart(tree: PyTree) -> tuple[list[Any], Callable[[list[Any]], PyTree]]:
    """The arrays of a tree, and how to put others in their places.

    Whatever else the tree holds (settings, functions) stays where it is.
    """
    flat, structure = jax.tree.flatten(tree)
    places = [i for i, leaf in enumerate(flat) if _is_array(leaf)]

    def whole(arrays: list[Any]) -> PyTree:
        filled = dict(enumerate(flat)) | dict(zip(places, arrays, strict=True))
        return jax.tree.unflatten(structure, filled.values())

    return [flat[i] for i in places], whole


def _follow(program: Any, leaves: list[Leaf]) -> Trace:
    """One pass over the program; inputs and outputs stay."""
    trace = Trace()
    of_variables = [Value(None, leaf=leaf) for leaf in leaves]
    of_inputs = [
        Value(tuple(map(trace.places, var.aval.shape)))
        for var in program.jaxpr.invars[len(leaves) :]
    ]
    outputs = interpret(
        trace,
        program.jaxpr,
        list(map(constant, program.consts)),
        (*of_variables, *of_inputs),
    )
    for value in outputs:
        for term in value.terms:
            freeze(term, "an axis of the outputs")
    return trace


def _reasons(leaf: Leaf) -> tuple[str | None, ...]:
    """Why each axis stays; of a leaf taken apart, as in the first slice."""
    if leaf.whole is None and leaf.slices is None:
        return tuple("not used by the function" for _ in leaf.shape)
    terms = (None, *leaf.slices[0]) if leaf.whole is None else leaf.whole
    return tuple(
        "a stack of slices" if term is None else _reason(term) for term in terms
    )


def _reason(term: Term) -> str | None:
    reasons = [one.frozen for one in atoms(term)]
    alone = "length 1" if size(term) == 1 else "each unit is used in a way of its own"
    return None if None in reasons else next(iter(reasons), alone)


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")
