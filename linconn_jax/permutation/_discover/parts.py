"""Axes that lie one after the other: put together, and cut."""

import itertools
from collections.abc import Iterable

from linconn_jax.permutation._discover.terms import (
    Atom,
    Factor,
    Term,
    Wild,
    atom,
    factors,
    freeze,
    is_frozen,
    renumber,
    size,
    wild,
)

MOST_CUTS = 64
"""Parts of parts of units are cut this often, then they stay: an axis that is added to
itself one place further on would be cut into single units, one by one."""


def chain(parts: Iterable[Term]) -> Term:
    """Consecutive axes as one; those that consist of several are written out."""
    parts = [found for part in parts for found in _parts(part) if size(found)]
    if len(parts) == 1:
        return parts[0]
    one = Atom(sum(map(size, parts)))
    if all(map(is_frozen, parts)):
        one.frozen = _reason(parts)
        for part in parts:
            renumber(part)
    else:
        one.concat = parts
    return (one,)


def _parts(term: Term) -> list[Term]:
    whole = factors(term)
    only = whole[0] if len(whole) == 1 else None
    return only.concat if isinstance(only, Atom) and only.concat else [term]


def cut(term: Term, at: int) -> tuple[Term, Term]:
    """The axis as two consecutive ones, the first of length `at`."""
    slow, *others = factors(term)
    rest = tuple(others)
    rows, over = divmod(at, size(rest))
    if not over:
        first, last = cut_factor(slow, (rows,))
        return (*first, *rest), (*last, *rest)
    # One row is cut across; as all rows are alike, all are.
    first, last = ([part] for part in cut(rest, over))
    ends = [end for end in (rows, rows + 1) if 0 < end < slow.size]
    parts = cut_factor(slow, ends) if ends else [()]
    if rows:
        first = [(*parts[0], *rest), *first]
    if rows + 1 < slow.size:
        last = [*last, (*parts[-1], *rest)]
    return chain(first), chain(last)


def cut_factor(one: Factor, ends: Iterable[int]) -> list[Term]:
    """The consecutive parts of an axis of one factor, cut at `ends` (each inside)."""
    lengths = [b - a for a, b in itertools.pairwise((0, *ends, one.size))]
    if isinstance(one, Wild):
        return [wild(n) for n in lengths]
    if one.concat is None:
        if one.cuts == MOST_CUTS:
            freeze((one,), "cut into ever smaller parts")
        parts = [atom(n, frozen=one.frozen) for n in lengths]
        for part in itertools.chain(*parts):
            part.cuts = one.cuts + 1
        if one.frozen is None:
            one.concat = parts
        else:
            renumber((one,))
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


def _reason(parts: Iterable[Term]) -> str:
    """Why the first frozen factor of the parts is frozen."""
    for factor in itertools.chain(*map(factors, parts)):
        if isinstance(factor, Atom) and factor.frozen is not None:
            return factor.frozen
    return "single units or constants side by side"
