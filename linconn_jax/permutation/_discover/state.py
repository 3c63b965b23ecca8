"""State among the variables: what training updates without gradients.

Two signs of it stand in the program itself. A function that returns a new value for a
leaf, under the name of that leaf, treats it as state. And running statistics are read in
a way of their own: `(x - mean) / sqrt(var + eps)`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend import core

from linconn_jax.permutation._discover.labelling import WRAPPERS
from linconn_jax.permutation._discover.traced_array import Leaf
from linconn_jax.permutation.labels import Axes, Stacked

Program = core.Jaxpr | core.ClosedJaxpr


class Tag(NamedTuple):
    """What an array is made of: a `leaf` as it is, or `shifted` by a constant; something
    from which a leaf was subtracted (`centred`); a product with the `root` of a shifted
    leaf; or of none of these ("")."""

    kind: str
    leaves: frozenset[int]


_NOTHING = Tag("", frozenset())
_LAYOUT = (
    *("broadcast_in_dim", "convert_element_type", "copy", "reshape"),
    *("slice", "squeeze", "transpose"),
)
_SCALED = ("add", "max", "mul", "div")
_INDEX = jax.tree_util.SequenceKey


def returned(
    outputs: Sequence[tuple[tuple, Any]], variables: Sequence[tuple[tuple, Any]]
) -> dict[int, int]:
    """The outputs that are new values of variables: {output: leaf}, by number.

    An output is one if its path, without the places in a tuple or list that it begins
    with, is the end of the path of one leaf of its shape and dtype and of no other. An
    output that has no name, as predictions have none, never is.

    Args:
      outputs: (path, array or its shape) of each output.
      variables: of each leaf.
    """

    def kind(leaf: Any) -> tuple:
        return getattr(leaf, "shape", None), getattr(leaf, "dtype", None)

    found: dict[int, int] = {}
    for k, (path, output) in enumerate(outputs):
        first = next((n for n, x in enumerate(path) if not isinstance(x, _INDEX)), None)
        if first is None:
            continue
        end = _names(path[first:])
        fits = [
            i
            for i, (place, leaf) in enumerate(variables)
            if _names(place)[-len(end) :] == end and kind(leaf) == kind(output)
        ]
        same = [i for i in fits if _names(variables[i][0]) == _names(path)]
        if len(same or fits) == 1:
            found[k] = (same or fits)[0]
    return found


def _names(path: tuple) -> list[str]:
    return [jax.tree_util.keystr((key,), simple=True) for key in path]


def shadowed(leaf: Leaf, labels: Mapping[Leaf, Axes | Stacked]) -> Leaf | None:
    """The leaf whose labels one that nothing reads takes; None if they are not clear.

    It lies in the same module and has the same shape: a moving average beside its
    corrected value, a running mean beside the scale of its norm. First looked for is the
    module itself, then the one of that name in another collection.
    """
    within = (lambda x: x, lambda x: x[1:], lambda x: x[1:][: [*x[1:], "~"].index("~")])
    for part in within:
        module = part(_module(leaf.path))
        found = [
            x
            for x in labels
            if x.each and x.shape == leaf.shape and part(_module(x.path)) == module
        ]
        if found and (module or part is within[0]):
            alike = all(labels[x] == labels[found[0]] for x in found)
            return found[0] if alike else None
    return None


def _module(path: str) -> list[str]:
    """Names of what a leaf lies in; NNX keeps a leaf as the value of a variable."""
    *module, last = path.split("/")
    return module[:-1] if last in WRAPPERS and module else module


def as_state(axes: Axes | Stacked, state: bool = True) -> Axes | Stacked:
    """The same labels, of a leaf that is state, or is none."""
    if isinstance(axes, Stacked):
        return Stacked(*(as_state(x, state) for x in axes.axes))
    return Axes(*axes.labels, state=state)


def statistics(program: Program, leaves: int) -> set[int]:
    """Inputs of a program, by number, that it reads as means and variances.

    A variance is a leaf of which the square root is taken, once a constant is added; a
    mean one that is subtracted from what such a root then scales. What stands inside
    calls, branches and loops is looked at, too.

    Args:
      program: whose first inputs are the leaves of the variables.
      leaves: how many these are.
    """
    found: set[int] = set()
    jaxpr = getattr(program, "jaxpr", program)
    first = enumerate(jaxpr.invars[:leaves])
    _walk(jaxpr, {var: Tag("leaf", frozenset([i])) for i, var in first}, found)
    return found


def _walk(jaxpr: core.Jaxpr, tags: dict[Any, Tag], found: set[int]) -> None:
    """Adds to `tags`, of the arrays of a program, and to `found`."""

    def tag(atom: Any, tags: Mapping[Any, Tag] = tags) -> Tag:
        return _NOTHING if isinstance(atom, core.Literal) else tags.get(atom, _NOTHING)

    for eqn in jaxpr.eqns:
        for inner in jax.tree.leaves(list(eqn.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if isinstance(inner, core.Jaxpr):
                operands = eqn.invars[len(eqn.invars) - len(inner.invars) :]
                pairs = zip(inner.invars, operands, strict=False)
                within = {var: tag(operand) for var, operand in pairs}
                _walk(inner, within, found)
                if len(inner.outvars) == len(eqn.outvars):
                    for var, output in zip(eqn.outvars, inner.outvars, strict=True):
                        tags[var] = tag(output, within)
        name = eqn.primitive.name
        operands = list(filter(_is_large, eqn.invars))
        one, other = (*map(tag, operands), _NOTHING, _NOTHING)[:2]
        if _is_root(eqn) and one.kind == "shifted":
            found |= one.leaves
            tags[eqn.outvars[0]] = one._replace(kind="root")
        elif name == "sub" and one.kind != "leaf" == other.kind:
            tags[eqn.outvars[0]] = other._replace(kind="centred")
        elif name in ("mul", "div") and "root" in (one.kind, other.kind):
            chosen = one if one.kind == "centred" else other
            if chosen.kind == "centred":
                found |= chosen.leaves
            tags[eqn.outvars[0]] = one if one.kind == "root" else other
        elif name in ("mul", "div") and "centred" in (one.kind, other.kind):
            tags[eqn.outvars[0]] = one if one.kind == "centred" else other
        elif name == "add" and one.kind == "leaf" and len(operands) == 1:
            tags[eqn.outvars[0]] = one._replace(kind="shifted")
        elif name in _LAYOUT or (name in _SCALED and len(operands) == 1):
            tags[eqn.outvars[0]] = one


def _is_root(eqn: core.JaxprEqn) -> bool:
    half = eqn.primitive.name == "pow" and isinstance(eqn.invars[1], core.Literal)
    halved = half and abs(float(eqn.invars[1].val)) == 0.5
    return halved or eqn.primitive.name in ("sqrt", "rsqrt")


def _is_large(atom: Any) -> bool:
    """Whether it is more than one number."""
    return bool(getattr(atom.aval, "shape", ()))
