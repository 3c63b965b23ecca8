"""Symbols for the axes of arrays, and the ways in which they are tied together.

An axis is a `Term`: a row-major product of factors, the slowest first. A factor is an
`Atom`, a number of units that move together wherever the atom stands, or a `Wild`, places
at which the array is constant along the axis, so that every permutation leaves it as it
is. Factors of size 1 are left out; the term of an axis of length 1 is `()`.

Atoms start free and are only ever restricted: joined with other atoms, given an inner
structure (`product` of smaller axes, or `concat`enation of consecutive ones), or frozen.
Whatever was concluded of an atom stays true when it is restricted further, so that one
pass over a program is enough.
"""

import itertools
import math
from collections.abc import Iterable, Iterator

_NUMBERS = itertools.count()
MOST_CUTS = 64
"""Parts of parts of units are cut this often, then they stay: an axis that is added to
itself one place further on would be cut into single units, one by one."""


class Wild:
    """`size` places along which an array is constant."""

    __slots__ = ("size",)

    def __init__(self, size: int):
        self.size = size


class Atom:
    """Units that move together: a node of a union-find forest.

    Attributes:
      size: number of units.
      cuts: how often units were cut to get these.
      number: age of the atom; older ones come first in all orders.
      same_as: the atom that this one was joined into, or None for a root.
      product: the term that a root was found to be, or None.
      concat: the consecutive terms that a root was found to be, or None.
      frozen: why the units cannot move, or None.
    """

    __slots__ = ("concat", "cuts", "frozen", "number", "product", "same_as", "size")

    def __init__(self, size: int, *, frozen: str | None = None):
        self.size = size
        self.cuts = 0
        self.number = next(_NUMBERS)
        self.same_as: Atom | None = None
        self.product: Term | None = None
        self.concat: list[Term] | None = None
        self.frozen = frozen


Factor = Atom | Wild
Term = tuple[Factor, ...]


def atom(size: int, *, frozen: str | None = None) -> Term:
    """A term of one new atom."""
    return (Atom(size, frozen=frozen),) if size != 1 else ()


def wild(size: int) -> Term:
    """A term along which an array is constant."""
    return (Wild(size),) if size != 1 else ()


def size(term: Term) -> int:
    """Length of the axis."""
    return math.prod(factor.size for factor in term)


def root(one: Atom) -> Atom:
    """The atom that stands for all those joined with this one."""
    while one.same_as is not None:
        if one.same_as.same_as is not None:
            one.same_as = one.same_as.same_as
        one = one.same_as
    return one


def factors(term: Term) -> Term:
    """The term with products written out and neighbouring wilds made one."""
    found: list[Factor] = []
    for factor in term:
        if isinstance(factor, Atom):
            factor = root(factor)
            if factor.product is not None:
                found.extend(factors(factor.product))
                continue
        elif found and isinstance(found[-1], Wild):
            found[-1] = Wild(found[-1].size * factor.size)
            continue
        found.append(factor)
    return tuple(found)


def pieces(term: Term) -> Iterator[Term]:
    """The products of which the axis is made, one after the other: no concatenations."""
    chain = factors(term)
    for at, factor in enumerate(chain):
        if isinstance(factor, Atom) and factor.concat is not None:
            before, after = chain[:at], chain[at + 1 :]
            for part in factor.concat:
                yield from pieces(before + part + after)
            return
    yield chain


def is_wild(term: Term) -> bool:
    """Whether the array is constant along the axis."""
    return all(isinstance(factor, Wild) for factor in term)


def is_frozen(term: Term) -> bool:
    """Whether nothing can move along the axis."""
    return all(
        isinstance(factor, Wild) or root(factor).frozen is not None
        for factor in factors(term)
    )


def freeze(term: Term, reason: str) -> None:
    """Nothing moves along this axis, nor along any that is tied to it."""
    for factor in factors(term):
        if isinstance(factor, Atom):
            _freeze(factor, reason)


def _freeze(one: Atom, reason: str) -> None:
    if one.frozen is None:
        one.frozen = reason
        for part in one.concat or ():
            freeze(part, reason)


def chain(parts: Iterable[Term]) -> Term:
    """Consecutive axes as one; those that consist of several are written out."""
    parts = [found for part in parts for found in _parts(part) if size(found)]
    if len(parts) == 1:
        return parts[0]
    one = Atom(sum(map(size, parts)))
    if all(map(is_frozen, parts)):
        one.frozen = _reason(parts)
    else:
        one.concat = parts
    return (one,)


def _parts(term: Term) -> list[Term]:
    whole = factors(term)
    only = whole[0] if len(whole) == 1 else None
    return only.concat if isinstance(only, Atom) and only.concat else [term]


def split(term: Term, minor: int, reason: str) -> tuple[Term, Term] | None:
    """The axis as a product of two, the faster of length `minor`.

    None where its structure does not allow that; the whole axis is frozen then.
    """
    rest, fast = factors(term), ()
    while size(fast) < minor:
        *others, last = rest
        wanted = minor // size(fast)
        if wanted % last.size == 0:
            rest, fast = tuple(others), (last, *fast)
            continue
        halves = _split_factor(last, wanted, reason)
        if halves is None:
            freeze(term, reason)
            return None
        return (*others, *halves[0]), (*halves[1], *fast)
    return rest, fast


def _split_factor(one: Factor, minor: int, reason: str) -> tuple[Term, Term] | None:
    if one.size % minor:
        return None
    if isinstance(one, Wild):
        return wild(one.size // minor), wild(minor)
    if one.concat is None:
        slow, fast = (atom(n, frozen=one.frozen) for n in (one.size // minor, minor))
    else:
        # Each part splits, and all parts share the faster axis.
        halves = [
            split(part, minor, reason) if size(part) % minor == 0 else None
            for part in one.concat
        ]
        if None in halves:
            return None
        slow = chain(half[0] for half in halves)
        fast = wild(minor)
        for half in halves:
            fast = join(fast, half[1], reason)
        one.concat = None
    one.product = (*slow, *fast)
    return slow, fast


def cut(term: Term, at: int) -> tuple[Term, Term]:
    """The axis as two consecutive ones, the first of length `at`."""
    slow, *others = factors(term)
    rest = tuple(others)
    rows, over = divmod(at, size(rest))
    if not over:
        first, last = _cut_factor(slow, (rows,))
        return (*first, *rest), (*last, *rest)
    # One row is cut across; as all rows are alike, all are.
    first, last = ([part] for part in cut(rest, over))
    ends = [end for end in (rows, rows + 1) if 0 < end < slow.size]
    parts = _cut_factor(slow, ends) if ends else [()]
    if rows:
        first = [(*parts[0], *rest), *first]
    if rows + 1 < slow.size:
        last = [*last, (*parts[-1], *rest)]
    return chain(first), chain(last)


def _cut_factor(one: Factor, ends: Iterable[int]) -> list[Term]:
    """The consecutive parts of an axis of one factor, cut at `ends` (each inside)."""
    lengths = [b - a for a, b in itertools.pairwise((0, *ends, one.size))]
    if isinstance(one, Wild):
        return [wild(n) for n in lengths]
    if one.concat is None:
        if one.cuts == MOST_CUTS:
            _freeze(one, "cut into ever smaller parts")
        parts = [atom(n, frozen=one.frozen) for n in lengths]
        for part in itertools.chain(*parts):
            part.cuts = one.cuts + 1
        if one.frozen is None:
            one.concat = parts
        return parts
    for end in ends:
        _refine(one, end)
    queue, found = list(one.concat), []
    for length in lengths:
        taken: list[Term] = []
        while sum(map(size, taken)) < length:
            taken.append(queue.pop(0))
        found.append(chain(taken))
    return found


def _refine(one: Atom, at: int) -> None:
    """Cuts the part of a concatenation that position `at` lies inside of."""
    start = 0
    for i, part in enumerate(one.concat):
        if start < at < start + size(part):
            one.concat[i : i + 1] = cut(part, at - start)
            return
        start += size(part)


def join(a: Term, b: Term, reason: str) -> Term:
    """The axis of an array computed element by element from two arrays.

    What is not wild in both moves together from now on. Where the structures of the two
    axes cannot be made to fit, both are frozen.
    """
    left, right, found = factors(a), factors(b), ()
    while left:
        x, y = left[-1], right[-1]
        if x.size < y.size:
            left, right, x, y = right, left, y, x
        if x.size == y.size:
            found = (*_join_factors(x, y, reason), *found)
            left, right = factors(left[:-1]), factors(right[:-1])
            continue
        halves = _split_factor(x, y.size, reason)
        if halves is None:
            freeze((*left, *right), reason)
            return (*atom(size(left), frozen=reason), *found)
        left, right = (*factors(left[:-1]), *halves[0], *halves[1]), factors(right)
    return found


def _join_factors(x: Factor, y: Factor, reason: str) -> Term:
    if isinstance(x, Wild) or isinstance(y, Wild):
        return (y,) if isinstance(x, Wild) else (x,)
    x, y = sorted((root(x), root(y)), key=lambda one: one.number)
    if x is y:
        return (x,)
    for one, other in ((x, y), (y, x)):
        if one.frozen is not None:
            _freeze(other, f"tied to what stays: {one.frozen}")
    if x.concat is not None or y.concat is not None:
        return _join_concats(x, y, reason)
    return _one(x, y)


def _join_concats(x: Atom, y: Atom, reason: str) -> Term:
    lengths = ([size(part) for part in one.concat or ()] for one in (x, y))
    ends = {end for each in lengths for end in itertools.accumulate(each)}
    ends = sorted(ends - {x.size})
    parts = [
        join(p, q, reason)
        for p, q in zip(_cut_factor(x, ends), _cut_factor(y, ends), strict=True)
    ]
    if _has_wild(x) or _has_wild(y):
        return chain(parts)
    return _one(x, y)


def _one(x: Atom, y: Atom) -> Term:
    y.same_as, x.cuts = x, max(x.cuts, y.cuts)
    return (x,)


def _has_wild(one: Atom) -> bool:
    return any(
        isinstance(factor, Wild)
        for part in one.concat or ()
        for piece in pieces(part)
        for factor in piece
    )


def _reason(parts: Iterable[Term]) -> str:
    """Why the first frozen factor of the parts is frozen."""
    for factor in itertools.chain(*map(factors, parts)):
        if isinstance(factor, Atom) and factor.frozen is not None:
            return factor.frozen
    return "single units or constants side by side"
