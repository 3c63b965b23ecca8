"""`discover`: trace a function, follow its axes, read the spec off.

A worked example, an MLP of two layers:

    def apply(v, x):
        h = jnp.tanh(x @ v["in"] + v["bias"][None])
        return h @ v["out"]

    variables = {"in": zeros(3, 5), "bias": zeros(5), "out": zeros(5, 2)}
    discover(apply, variables, zeros(4, 3))

JAX traces it to a jaxpr with the inputs `a` (bias), `b` (in), `c` (out) and `d` (x). Each
axis gets a symbol (`axis_symbols`), here one node: a letter and the number of units, and
`!` if it is frozen. Inputs are frozen, `d: [m4!, n3!]`. The nodes of leaves are new and
free, `a: [p5]`, `b: [q3, r5]`, `c: [s5, t2]`.

    equation of the jaxpr              what its rule does                 output
    e:f32[4,5] = dot_general[..] d b   ties q to n, which freezes q       [m4!, r5]
    f:f32[1,5] = broadcast_in_dim a    a new axis of length 1: no node    [(), p5]
    g:f32[4,5] = add e f               ties p to r: one node from now on  [m4!, r5]
    h:f32[4,5] = tanh g                nothing: one array, each element   [m4!, r5]
    i:f32[4,2] = dot_general[..] h c   ties s to r                        [m4!, t2]
    in (i,)                            outputs stay: freezes t            [m4!, t2!]

`r` is left, with `p` and `s` merged into it. It came into being in the first product, as
the columns of `in`, and is named after that leaf:

    {"bias": Axes(in:5), "in": Axes(·, in:5), "out": Axes(in:5, ·)}

The rules stand in the `rules_*` modules. `interpret` runs them, `unify` ties, splits and
cuts symbols for them, `labelling` reads the spec off.
"""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from linconn_jax import trees
from linconn_jax.permutation._discover import (  # noqa: F401 - rules register themselves
    rules_control,
    rules_layout,
    rules_products,
    rules_simple,
)
from linconn_jax.permutation._discover.axis_symbols import freeze, units
from linconn_jax.permutation._discover.interpret import Findings, interpret
from linconn_jax.permutation._discover.labelling import (
    Labeller,
    depths,
    freeze_unused,
    reasons,
)
from linconn_jax.permutation._discover.state import (
    as_state,
    returned,
    shadowed,
    statistics,
)
from linconn_jax.permutation._discover.traced_array import Leaf, TracedArray, tie_axes
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
      returned: `{number of an output: path of a leaf}` of which it is a new value. Such
        an output moves with the leaf; all others stay.
      kept: those of them that are the leaf as it was.
      unread: leaves that the function does not read, `{path: path of the leaf whose
        labels it takes}`, None where there is none such: it stays.
      depths: `{path of a leaf: for each axis where its units are met first in computing
        from the inputs}`, in the order of the program; of a leaf taken slice by slice
        such a tuple for each slice; infinite where they never are.
    """

    spec: Spec
    stays: dict[str, tuple[str | None, ...]]
    unknown: tuple[str, ...]
    returned: dict[int, str] = dataclasses.field(default_factory=dict)
    kept: frozenset[int] = frozenset()
    unread: dict[str, str | None] = dataclasses.field(default_factory=dict)
    depths: dict[str, list[tuple[float, ...]]] = dataclasses.field(default_factory=dict)


def discover(apply: Callable[..., PyTree], variables: PyTree, *inputs: Any) -> Spec:
    """The permutation symmetries of `apply`, found by tracing it.

    `apply` is traced to a program of JAX primitives (nothing is computed). Each axis of
    each leaf gets a symbol; every primitive ties symbols together, gives them structure
    or freezes them, so that what is left free can be permuted without a change of the
    outputs. A primitive that is not known freezes the axes that it touches: a symmetry
    may be missed, a wrong one is never found.

    Outputs stay, but those that are new values of variables: where training returns
    `(predictions, state)`, the state has the names, shapes and dtypes of a part of the
    variables, and moves with them. Leaves that the function does not read take the labels
    of the leaf beside them, in the same module and of the same shape.

    What training updates without gradients is marked as state (`Axes.state`): leaves that
    are returned so, those that are not read, and running means and variances, known by
    how they are used, `(x - mean) / sqrt(var + eps)`. No permutation is fitted to it.
    Where the tree has a key `params`, nothing under it is state.

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
    paths, spec_structure = jax.tree_util.tree_flatten_with_path(variables)
    leaves = {
        i: Leaf(trees.path_name(path), np.shape(leaf))
        for i, (path, leaf) in enumerate(paths)
        if _is_array(leaf)
    }
    known = list(leaves.values())
    if not known:
        raise ValueError(
            "variables has no array leaves; pass the tree of parameters that apply takes "
            "as its first argument"
        )
    flat, structure = jax.tree.flatten((variables, inputs))
    arrays = {i: leaf for i, leaf in enumerate(flat) if _is_array(leaf)}

    def of_arrays(arrays: dict[int, Any]) -> PyTree:
        # Whatever else there is (settings, functions) stays where it is.
        filled = [arrays.get(i, leaf) for i, leaf in enumerate(flat)]
        variables, inputs = jax.tree.unflatten(structure, filled)
        return apply(variables, *inputs)

    findings = Findings()
    program, shapes = jax.make_jaxpr(of_arrays, return_shape=True)(arrays)
    outputs = jax.tree_util.tree_leaves_with_path(shapes)
    new_values = {k: leaves[i] for k, i in returned(outputs, paths).items()}
    given = [var.aval.shape for var in program.jaxpr.invars[len(known) :]]
    frozen = [TracedArray(units(n, "an input") for n in shape) for shape in given]
    for array in frozen:
        array.moves = True
    made = interpret(findings, program, (*known, *frozen))
    kept = frozenset(k for k, leaf in new_values.items() if made[k] is leaf)
    for k, output in enumerate(made):
        if k in kept:
            continue
        if k in new_values:
            both = output.symbols, new_values[k].symbols
            findings.arrays.append(tie_axes(both, f"returned as {new_values[k].path}"))
            continue
        for symbol in output.symbols:
            freeze(symbol, "an axis of the outputs")
    freeze_unused(known, findings)
    labeller = Labeller(known, findings)
    labels = {leaf: labeller.leaf(leaf) for leaf in known}
    stays = {leaf.path: reasons(leaf) for leaf in known}
    unread = {leaf: shadowed(leaf, labels) for leaf in known if not leaf.each}
    for leaf, other in unread.items():
        if other is not None:
            labels[leaf], stays[leaf.path] = labels[other], stays[other.path]
    of_state = {*new_values.values()}
    if of_state.issuperset(known):  # tells nothing: state is what is not as it was
        of_state = {leaf for k, leaf in new_values.items() if k not in kept}
    if of_state.issuperset(known):  # a step of training
        of_state = set()
    of_state |= {known[k] for k in statistics(program, len(known))} | unread.keys()
    if isinstance(variables, Mapping) and "params" in variables:
        of_state = {x for x in of_state if not x.path.startswith("params/")}
    labels |= {leaf: as_state(labels[leaf]) for leaf in of_state}
    spec = [labels[leaves[i]] if i in leaves else Axes() for i in range(len(paths))]
    return Discovery(
        spec=jax.tree.unflatten(spec_structure, spec),
        stays=stays,
        unknown=tuple(dict.fromkeys(findings.unknown)),
        returned={k: leaf.path for k, leaf in new_values.items()},
        kept=kept,
        unread={leaf.path: x and x.path for leaf, x in unread.items()},
        depths=depths(known, findings),
    )


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")
