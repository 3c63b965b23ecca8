"""Rules of primitives that rearrange arrays, cut them up and put them together."""

import itertools
import operator
from collections.abc import Mapping

from jax.extend import core

from linconn_jax.permutation._discover.axis_symbols import (
    Symbol,
    Uniform,
    is_frozen,
    size,
    uniform,
    without,
)
from linconn_jax.permutation._discover.interpret import Operation
from linconn_jax.permutation._discover.registry import rule
from linconn_jax.permutation._discover.traced_array import Leaf, TracedArray
from linconn_jax.permutation._discover.unify import concat, cut, split


@rule("broadcast_in_dim")
def broadcast(op: Operation, array: TracedArray, *_: TracedArray) -> TracedArray:
    """New axes are uniform, and so are axes of length 1 made longer."""
    symbols = list(map(uniform, op.out_shapes[0]))
    axes = op.params["broadcast_dimensions"]
    for symbol, axis in zip(array.symbols, axes, strict=True):
        symbols[axis] = symbol or symbols[axis]
    return array.rearranged(symbols)


@rule("reshape")
def reshape(op: Operation, array: TracedArray, *_: TracedArray) -> TracedArray:
    """Axes merge into products; a product splits where its factors end.

    An axis of units that is split becomes a product of two. What cannot be split so
    (six units in rows of four) is frozen.
    """
    order = op.params["dimensions"] or range(len(array.symbols))
    # Axes of length 1 have the symbol () before and after.
    old = [array.symbols[i] for i in order if array.symbols[i]]
    new = [n for n in op.out_shapes[0] if n != 1]
    made: list[Symbol] = []
    start = 0
    for stop, until in _matching(list(map(size, old)), new):
        lengths = new[len(made) : until]
        axes = split(tuple(itertools.chain(*old[start:stop])), lengths, op.reason)
        if axes is None:
            op.freeze(old, *range(start, stop))
            axes = list(map(op.fixed, lengths))
        made += axes
        start = stop
    found = iter(made)
    return array.rearranged(() if n == 1 else next(found) for n in op.out_shapes[0])


def _matching(old: list[int], new: list[int]) -> list[tuple[int, int]]:
    """How many first axes of both shapes have as many elements: all such pairs."""
    a, b = (list(itertools.accumulate(shape, operator.mul)) for shape in (old, new))
    return [(i + 1, b.index(n) + 1) for i, n in enumerate(a) if n in b]


@rule("concatenate")
def concatenate(op: Operation, *inputs: TracedArray) -> TracedArray:
    """Parts one after the other; the arrays move alike along all other axes."""
    axis = int(op.params["dimension"])
    parts = [array.symbols[axis] for array in inputs]
    others = op.tie_axes(without(array.symbols, axis) for array in inputs)
    paths = [array.path for array in inputs]
    path = None if None in paths else paths[0]
    return TracedArray((*others[:axis], concat(parts), *others[axis:]), path)


@rule("stack")
def stack(op: Operation, *inputs: TracedArray) -> TracedArray:
    """Arrays that move alike, along a new axis whose positions stay."""
    axis = int(op.params["axis"])
    tied = op.tie_axes(array.symbols for array in inputs)
    return TracedArray((*tied[:axis], op.fixed(len(inputs)), *tied[axis:]))


@rule("pad")
def pad(op: Operation, array: TracedArray, filler: TracedArray) -> TracedArray:
    """A constant before and after; units stay where it also comes between or cuts."""
    symbols = list(array.symbols)
    for axis, widths in enumerate(op.params["padding_config"]):
        low, high, between = map(int, widths)
        if low == high == between == 0:
            continue
        if is_frozen(symbols[axis]) or between or min(low, high) < 0:
            op.freeze(symbols, axis)
            symbols[axis] = op.fixed(op.out_shapes[0][axis])
        else:
            symbols[axis] = concat([uniform(low), symbols[axis], uniform(high)])
    return TracedArray(symbols)


@rule("slice")
def slice_(op: Operation, array: TracedArray) -> TracedArray:
    """Cuts axes; what is left out has nodes of its own."""
    starts, stops = op.params["start_indices"], op.params["limit_indices"]
    strides = op.params["strides"] or (1,) * len(starts)
    return _sliced(op, array, dict(enumerate(map(range, starts, stops, strides))))


@rule("split")
def split_(op: Operation, array: TracedArray) -> list[TracedArray]:
    """Consecutive slices of one axis."""
    ends = itertools.accumulate(map(int, op.params["sizes"]), initial=0)
    axis = int(op.params["axis"])
    return [_sliced(op, array, {axis: range(*p)}) for p in itertools.pairwise(ends)]


@rule("unstack")
def unstack(op: Operation, array: TracedArray) -> list[TracedArray]:
    """All slices of length 1 along an axis, which is left out."""
    axis = int(op.params["axis"])
    count = op.in_shapes[0][axis]
    each = [_sliced(op, array, {axis: range(i, i + 1)}) for i in range(count)]
    return [one.rearranged(without(one.symbols, axis)) for one in each]


@rule("dynamic_slice")
def dynamic_slice(
    op: Operation, array: TracedArray, *starts: TracedArray
) -> TracedArray:
    """Where the start is a number in the program, a slice; else the positions stay."""
    lengths, sizes = op.in_shapes[0], op.params["slice_sizes"]
    axes = [i for i, n in enumerate(lengths) if sizes[i] != n]
    variables = {i: op.eqn.invars[1 + i] for i in axes}
    if not all(isinstance(start, core.Literal) for start in variables.values()):
        return array.rearranged(op.mix(array, axes).symbols)
    parts = {}
    for i, start in variables.items():
        first = min(max(int(start.val), 0), lengths[i] - sizes[i])
        parts[i] = range(first, first + sizes[i])
    return _sliced(op, array, parts)


@rule("dynamic_update_slice")
def dynamic_update_slice(
    op: Operation, array: TracedArray, update: TracedArray, *starts: TracedArray
) -> TracedArray:
    """The positions along axes that are written in part stay."""
    whole, part = op.in_shapes[:2]
    axes = [i for i, n in enumerate(whole) if part[i] != n]
    op.freeze(array.symbols, *axes)
    written = op.mix(update, axes)
    return TracedArray(op.tie_axes((array.symbols, written.symbols)))


def _sliced(
    op: Operation, array: TracedArray, parts: Mapping[int, range]
) -> TracedArray:
    """The array cut to a range of some of its axes."""
    shape = op.in_shapes[0]
    parts = {axis: part for axis, part in parts.items() if part != range(shape[axis])}
    one_slice = list(parts) == [0] and len(parts[0]) == 1
    if one_slice and isinstance(array, Leaf) and array.has_slices():
        found = array.slice(parts[0].start)
        return found.rearranged(((), *found.symbols))
    symbols = list(array.symbols)
    for axis, part in parts.items():
        symbols[axis] = _cut_to(op, symbols, axis, part)
    return array.rearranged(symbols)


def _cut_to(op: Operation, symbols: list[Symbol], axis: int, part: range) -> Symbol:
    symbol = symbols[axis]
    if not part or all(isinstance(factor, Uniform) for factor in symbol):
        return uniform(len(part))
    if is_frozen(symbol) or part.step != 1:
        op.freeze(symbols, axis)
        return op.fixed(len(part))
    if part.stop < size(symbol):
        symbol = cut(symbol, part.stop)[0]
    return cut(symbol, part.start)[1] if part.start else symbol
