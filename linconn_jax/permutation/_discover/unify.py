"""What is done to symbols: two are tied, products split, parts are joined and cut."""

import itertools
import math
from collections.abc import Iterable, Sequence

from linconn_jax.permutation._discover.axis_symbols import (
    Node,
    Symbol,
    Uniform,
    factors,
    freeze,
    is_frozen,
    products,
    scramble,
    size,
    uniform,
    units,
)

MOST_CUTS = 64
"""Parts of parts of units are cut this often, then they are frozen: an axis added to
itself one position further on would be cut into single units, one by one."""


def tie(a: Symbol, b: Symbol, reason: str) -> Symbol:
    """The axis of an array computed element by element from two arrays.

    The units of both move together from now on, save along what is uniform in one of
    them. An axis of length 1 goes with any. Where the structures of the two cannot be
    made to fit, both are frozen.
    """
    if not a or not b:
        return a or b
    left, right, found = factors(a), factors(b), ()
    while left:
        x, y = left[-1], right[-1]
        if x.size < y.size:
            left, right, x, y = right, left, y, x
        if x.size == y.size:
            found = (*_tie_factors(x, y, reason), *found)
            left, right = factors(left[:-1]), factors(right[:-1])
            continue
        halves = _split_factor(x, y.size, reason)
        if halves is None:
            freeze((*left, *right), reason)
            scramble((*left, *right))
            return (*units(size(left), reason), *found)
        left, right = (*factors(left[:-1]), *halves[0], *halves[1]), factors(right)
    return found


def _tie_factors(x: Node | Uniform, y: Node | Uniform, reason: str) -> Symbol:
    if isinstance(x, Uniform) or isinstance(y, Uniform):
        return (y,) if isinstance(x, Uniform) else (x,)
    x, y = sorted((x.root(), y.root()), key=lambda node: node.serial)
    if x is y:
        return (x,)
    for node, other in ((x, y), (y, x)):
        if node.frozen is not None:
            freeze((other,), node.frozen)
    if x.concat is not None or y.concat is not None:
        parts = _tie_parts(x, y, reason)
        if _has_uniform(x) or _has_uniform(y):
            return concat(parts)
    y.merged_into, x.cuts = x, max(x.cuts, y.cuts)
    x.scrambled |= y.scrambled
    return (x,)


def _tie_parts(x: Node, y: Node, reason: str) -> list[Symbol]:
    """The parts of two concatenations, cut where either has an end, and tied."""
    lengths = (map(size, node.concat or ()) for node in (x, y))
    ends = {end for each in lengths for end in itertools.accumulate(each)} - {x.size}
    both = (_cut_factor(node, sorted(ends)) for node in (x, y))
    return [tie(p, q, reason) for p, q in zip(*both, strict=True)]


def _has_uniform(node: Node) -> bool:
    return any(isinstance(x, Uniform) for each in products((node,)) for x in each)


def split(
    symbol: Symbol, lengths: Sequence[int], reason: str
) -> tuple[Symbol, ...] | None:
    """The axis as a product of axes of these lengths.

    None where its structure does not allow that: the caller must freeze it.
    """
    if size(symbol) != math.prod(lengths):
        return None
    slow, found = factors(symbol), ()
    for length in reversed(lengths[1:]):
        fast: Symbol = ()
        while size(fast) < length:
            wanted, last = length // size(fast), slow[-1]
            if wanted % last.size == 0:
                halves = (), (last,)
            else:
                halves = _split_factor(last, wanted, reason)
            if halves is None:
                return None
            slow, fast = (*slow[:-1], *halves[0]), (*halves[1], *fast)
        found = (fast, *found)
    return slow, *found


def _split_factor(
    factor: Node | Uniform, fast_size: int, reason: str
) -> tuple[Symbol, Symbol] | None:
    slow_size, left_over = divmod(factor.size, fast_size)
    if left_over:
        return None
    if isinstance(factor, Uniform):
        return uniform(slow_size), uniform(fast_size)
    if factor.concat is None:
        slow, fast = (units(n, factor.frozen) for n in (slow_size, fast_size))
        if factor.scrambled:
            scramble((*slow, *fast))
    else:
        # Each part splits, and all parts share the faster axis.
        halves = [
            split(part, (size(part) // fast_size, fast_size), reason)
            for part in factor.concat
        ]
        if None in halves:
            return None
        slow, fast = concat(half[0] for half in halves), uniform(fast_size)
        for half in halves:
            fast = tie(fast, half[1], reason)
        factor.concat = None
    factor.product = (*slow, *fast)
    return slow, fast


def concat(parts: Iterable[Symbol]) -> Symbol:
    """Consecutive axes as one; a part that is a concatenation itself is written out."""
    parts = [inner for part in parts for inner in _parts(part) if size(inner)]
    if len(parts) == 1:
        return parts[0]
    whole = Node(sum(map(size, parts)))
    if all(map(is_frozen, parts)):
        reasons = [getattr(x, "frozen", None) for part in parts for x in factors(part)]
        alone = "single units or constants side by side"
        whole.frozen = next(filter(None, reasons), alone)
        for part in parts:
            scramble(part)
    else:
        whole.concat = parts
    return (whole,)


def _parts(symbol: Symbol) -> list[Symbol]:
    found = factors(symbol)
    return (len(found) == 1 and getattr(found[0], "concat", None)) or [symbol]


def cut(symbol: Symbol, at: int) -> tuple[Symbol, Symbol]:
    """The axis as two consecutive ones, the first of length `at`."""
    whole = factors(symbol)
    slow, rest = whole[0], whole[1:]
    rows, over = divmod(at, size(rest))
    if not over:
        first, last = _cut_factor(slow, (rows,))
        return (*first, *rest), (*last, *rest)
    # One row is cut across; as all rows are alike, all are.
    first, last = ([part] for part in cut(rest, over))
    ends = [end for end in (rows, rows + 1) if 0 < end < slow.size]
    whole_rows = _cut_factor(slow, ends) if ends else [()]
    if rows:
        first = [(*whole_rows[0], *rest), *first]
    if rows + 1 < slow.size:
        last = [*last, (*whole_rows[-1], *rest)]
    return concat(first), concat(last)


def _cut_factor(factor: Node | Uniform, ends: Iterable[int]) -> list[Symbol]:
    """The parts between these `ends`, each inside, of an axis of one factor."""
    pairs = list(itertools.pairwise((0, *ends, factor.size)))
    if isinstance(factor, Uniform):
        return [uniform(b - a) for a, b in pairs]
    if factor.concat is not None:
        for end in ends:
            _cut_part(factor.concat, end)
        starts = itertools.accumulate(map(size, factor.concat), initial=0)
        parts = list(zip(starts, factor.concat, strict=False))
        return [concat(part for at, part in parts if a <= at < b) for a, b in pairs]
    if factor.cuts == MOST_CUTS:
        freeze((factor,), "cut into ever smaller parts")
    parts = [units(b - a, factor.frozen) for a, b in pairs]
    for part in itertools.chain(*parts):
        part.cuts = factor.cuts + 1
    if factor.frozen is None:
        factor.concat = parts
    else:
        scramble((factor,))
    return parts


def _cut_part(parts: list[Symbol], at: int) -> None:
    """Cuts the part that position `at` of a concatenation lies inside of."""
    start = 0
    for i, part in enumerate(parts):
        if start < at < start + size(part):
            parts[i : i + 1] = cut(part, at - start)
            return
        start += size(part)
