"""Axes that move together, and products of axes."""

import itertools

from linconn_jax.permutation._discover.parts import chain, cut_factor
from linconn_jax.permutation._discover.terms import (
    Atom,
    Factor,
    Term,
    Wild,
    atom,
    factors,
    freeze,
    pieces,
    renumber,
    root,
    size,
    wild,
)


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
            renumber((*left, *right))
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
            freeze((other,), one.frozen)
    if x.concat is not None or y.concat is not None:
        return _join_concats(x, y, reason)
    return _one(x, y)


def _join_concats(x: Atom, y: Atom, reason: str) -> Term:
    lengths = ([size(part) for part in one.concat or ()] for one in (x, y))
    ends = {end for each in lengths for end in itertools.accumulate(each)}
    ends = sorted(ends - {x.size})
    parts = [
        join(p, q, reason)
        for p, q in zip(cut_factor(x, ends), cut_factor(y, ends), strict=True)
    ]
    if _has_wild(x) or _has_wild(y):
        return chain(parts)
    return _one(x, y)


def _one(x: Atom, y: Atom) -> Term:
    y.same_as, x.cuts = x, max(x.cuts, y.cuts)
    x.renumbered |= y.renumbered
    return (x,)


def _has_wild(one: Atom) -> bool:
    return any(
        isinstance(factor, Wild)
        for part in one.concat or ()
        for piece in pieces(part)
        for factor in piece
    )


def split(term: Term, minor: int, reason: str) -> tuple[Term, Term] | None:
    """The axis as a product of two, the faster of length `minor`.

    None where its structure does not allow that: the caller must freeze it.
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
        if one.renumbered:
            renumber((*slow, *fast))
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
