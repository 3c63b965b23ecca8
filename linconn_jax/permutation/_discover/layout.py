"""Rules of primitives that rearrange arrays, and of those that make new ones."""

from jax.extend import core

from linconn_jax.permutation._discover.interpret import rule
from linconn_jax.permutation._discover.joining import split
from linconn_jax.permutation._discover.terms import (
    Term,
    size,
    wild,
)
from linconn_jax.permutation._discover.values import Trace, Value


@rule("broadcast_in_dim")
def broadcast(trace: Trace, eqn: core.JaxprEqn, value: Value, *_: Value) -> list[Value]:
    """New axes are wild, and so are axes of length 1 made longer."""
    terms = [wild(n) for n in eqn.outvars[0].aval.shape]
    for term, axis in zip(value.terms, eqn.params["broadcast_dimensions"], strict=True):
        terms[axis] = term or terms[axis]
    return [value.moved(terms)]


@rule("transpose")
def transpose(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Axes in another order."""
    return [value.moved(value.terms[i] for i in eqn.params["permutation"])]


@rule("squeeze")
def squeeze(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Axes of length 1 left out."""
    gone = eqn.params["dimensions"]
    return [value.moved(t for i, t in enumerate(value.terms) if i not in gone)]


@rule("reshape")
def reshape(trace: Trace, eqn: core.JaxprEqn, value: Value, *_: Value) -> list[Value]:
    """Axes merge into products; a product splits where its factors end.

    An axis of units that is split becomes a product of two. What cannot be split so
    (six units in rows of four) is frozen.
    """
    order = eqn.params["dimensions"] or range(len(value.terms))
    old = [value.terms[i] for i in order]
    new = list(eqn.outvars[0].aval.shape)
    terms: list[Term] = []
    start = stop = 0
    while start < len(old) or stop < len(new):
        rows, lengths = _matching(old[start:], new[stop:])
        merged = tuple(factor for term in old[start : start + rows] for factor in term)
        made = _split_into(trace, merged, new[stop : stop + lengths])
        if made is None:
            trace.stay(old, *range(start, start + rows))
            made = list(map(trace.places, new[stop : stop + lengths]))
        terms += made
        start, stop = start + rows, stop + lengths
    return [value.moved(terms)]


def _matching(old: list[Term], new: list[int]) -> tuple[int, int]:
    """How many of the first axes, old and new, have the same number of elements."""
    rows = lengths = 0
    a = b = 1
    while not (rows or lengths) or a != b:
        if a <= b and rows < len(old):
            a, rows = a * size(old[rows]), rows + 1
        else:
            b, lengths = b * new[lengths], lengths + 1
    return rows, lengths


def _split_into(trace: Trace, term: Term, lengths: list[int]) -> list[Term] | None:
    """The axis as a product of axes of these lengths, or None where that fails."""
    found: list[Term] = []
    rest = term
    for at in range(len(lengths) - 1, 0, -1):
        halves = split(rest, lengths[at], trace.why)
        if halves is None:
            return None
        rest, fast = halves
        found.insert(0, fast)
    return [rest, *found] if lengths else []


@rule("rev")
def reverse(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """The places along reversed axes stay."""
    axes = eqn.params["dimensions"]
    return [Value(trace.mixed(value.terms, axes, eqn.outvars[0].aval.shape))]


@rule("tile")
def tile(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Copies one after the other: a product with a slow wild factor."""
    reps = eqn.params["reps"]
    return [
        value.moved(
            (*wild(n), *term) for n, term in zip(reps, value.terms, strict=True)
        )
    ]


@rule("empty", "empty2")
def empty(trace: Trace, eqn: core.JaxprEqn) -> list[Value]:
    """An array whose numbers are yet to come."""
    return [Value(tuple(map(wild, eqn.outvars[0].aval.shape)))]


@rule("iota")
def iota(trace: Trace, eqn: core.JaxprEqn, *_: Value) -> list[Value]:
    """Numbers along one axis, equal along the others."""
    shape, axis = eqn.outvars[0].aval.shape, int(eqn.params["dimension"])
    terms = [wild(n) for n in shape]
    terms[axis] = trace.places(shape[axis])
    return [Value(tuple(terms))]
