"""Rules of primitives that cut arrays up and put them together."""

import numpy as np
from jax.extend import core

from linconn_jax.permutation._discover.interpret import rule
from linconn_jax.permutation._discover.parts import chain, cut
from linconn_jax.permutation._discover.terms import (
    Term,
    is_frozen,
    is_wild,
    size,
    wild,
)
from linconn_jax.permutation._discover.values import Trace, Value


@rule("concatenate")
def concatenate(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """Parts one after the other; the arrays move alike along all other axes."""
    axis = int(eqn.params["dimension"])
    parts = [value.terms[axis] for value in inputs]
    others = trace.join([_without(value.terms, axis) for value in inputs])
    origins = [value.path for value in inputs]
    origin = None if None in origins else origins[0]
    return [Value((*others[:axis], chain(parts), *others[axis:]), origin=origin)]


@rule("stack")
def stack(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """Arrays that move alike, along a new axis whose places stay."""
    axis, joined = int(eqn.params["axis"]), trace.join([v.terms for v in inputs])
    return [Value((*joined[:axis], trace.places(len(inputs)), *joined[axis:]))]


@rule("pad")
def pad(trace: Trace, eqn: core.JaxprEqn, value: Value, filler: Value) -> list[Value]:
    """A constant before and after; places stay where it also comes between or cuts."""
    terms = list(value.terms)
    for axis, widths in enumerate(eqn.params["padding_config"]):
        low, high, inside = map(int, widths)
        if (low, high, inside) == (0, 0, 0):
            continue
        if is_frozen(terms[axis]) or inside or min(low, high) < 0:
            trace.stay(terms, axis)
            terms[axis] = trace.places(eqn.outvars[0].aval.shape[axis])
        else:
            terms[axis] = chain([wild(low), terms[axis], wild(high)])
    return [Value(tuple(terms))]


@rule("slice")
def slice_(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Cuts axes; what is left out has atoms of its own."""
    starts, stops = eqn.params["start_indices"], eqn.params["limit_indices"]
    strides = eqn.params["strides"] or (1,) * len(starts)
    return [_sliced(trace, value, list(zip(starts, stops, strides, strict=True)))]


@rule("split")
def split_(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Consecutive slices of one axis."""
    ends = np.cumsum([0, *eqn.params["sizes"]]).tolist()
    shape = eqn.invars[0].aval.shape
    whole = [(0, n, 1) for n in shape]
    found = []
    for start, stop in zip(ends[:-1], ends[1:], strict=True):
        whole[int(eqn.params["axis"])] = (start, stop, 1)
        found.append(_sliced(trace, value, whole))
    return found


@rule("unstack")
def unstack(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """All slices of length 1 along an axis, which is left out."""
    axis, shape = int(eqn.params["axis"]), eqn.invars[0].aval.shape
    found = []
    for i in range(shape[axis]):
        ranges = [(0, n, 1) for n in shape]
        ranges[axis] = (i, i + 1, 1)
        piece = _sliced(trace, value, ranges)
        found.append(piece.moved(_without(piece.terms, axis)))
    return found


def _sliced(trace: Trace, value: Value, ranges: list[tuple[int, int, int]]) -> Value:
    if value.leaf is not None and value.leaf.can_be_taken_apart():
        first, *others = ranges
        whole = [(0, n, 1) for n in value.leaf.shape[1:]]
        if first[1] - first[0] == 1 < value.leaf.shape[0] and others == whole:
            piece = value.leaf.slice(first[0])
            return piece.moved(((), *piece.terms))
    terms = list(value.terms)
    for axis, (start, stop, stride) in enumerate(ranges):
        terms[axis] = _range(trace, terms, axis, start, stop, stride)
    return value.moved(terms)


def _range(
    trace: Trace, terms: list[Term], axis: int, start: int, stop: int, stride: int
) -> Term:
    term = terms[axis]
    length = len(range(start, stop, stride))
    if (start, stop, stride) == (0, size(term), 1):
        return term
    if is_wild(term) or not length:
        return wild(length)
    if is_frozen(term) or stride != 1:
        trace.stay(terms, axis)
        return trace.places(length)
    if stop < size(term):
        term = cut(term, stop)[0]
    return cut(term, start)[1] if start else term


@rule("dynamic_slice")
def dynamic_slice(
    trace: Trace, eqn: core.JaxprEqn, value: Value, *starts: Value
) -> list[Value]:
    """Where the start is a number in the program, a slice; else the places stay."""
    shape, sizes = eqn.invars[0].aval.shape, eqn.params["slice_sizes"]
    axes = [i for i, (n, m) in enumerate(zip(shape, sizes, strict=True)) if n != m]
    known = {i: eqn.invars[1 + i] for i in axes}
    if all(isinstance(start, core.Literal) for start in known.values()):
        ranges = [(0, n, 1) for n in shape]
        for i, start in known.items():
            first = min(max(int(start.val), 0), shape[i] - sizes[i])
            ranges[i] = (first, first + sizes[i], 1)
        return [_sliced(trace, value, ranges)]
    return [value.moved(trace.mixed(value.terms, axes, sizes))]


@rule("dynamic_update_slice")
def dynamic_update_slice(
    trace: Trace, eqn: core.JaxprEqn, value: Value, update: Value, *starts: Value
) -> list[Value]:
    """The places along axes that are written in part stay."""
    whole, part = (v.aval.shape for v in eqn.invars[:2])
    axes = [i for i, (n, m) in enumerate(zip(whole, part, strict=True)) if n != m]
    trace.stay(value.terms, *axes)
    written = trace.mixed(update.terms, axes, whole)
    return [Value(trace.join([value.terms, written]))]


def _without(terms: tuple[Term, ...], axis: int) -> tuple[Term, ...]:
    return terms[:axis] + terms[axis + 1 :]
