"""Symbols for the axes of arrays, and what is known of them.

An axis is a `Term`: a row-major product of factors, the slowest first. A factor is an
`Atom`, a number of units that move together wherever the atom stands, or a `Wild`, places
at which the array is constant along the axis, so that every permutation leaves it as it
is. Factors of size 1 are left out; the term of an axis of length 1 is `()`.

Atoms start free and are only ever restricted: joined with other atoms, given an inner
structure (`product` of smaller axes, or `concat`enation of consecutive ones), or frozen.
Whatever was concluded of an atom stays true when it is restricted further, so that one
pass over a program is enough. `parts` concatenates and cuts, `joining` joins and splits.
"""

import itertools
import math
from collections.abc import Iterator

_NUMBERS = itertools.count()


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
      renumbered: whether an array holds its places in a way that the terms do not tell;
        then nobody may lie under it.
    """

    __slots__ = (
        "concat",
        "cuts",
        "frozen",
        "number",
        "product",
        "renumbered",
        "same_as",
        "size",
    )

    def __init__(self, size: int, *, frozen: str | None = None):
        self.size = size
        self.cuts = 0
        self.number = next(_NUMBERS)
        self.same_as: Atom | None = None
        self.product: Term | None = None
        self.concat: list[Term] | None = None
        self.frozen = frozen
        self.renumbered = False


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


def atoms(term: Term) -> Iterator[Atom]:
    """The atoms at the ends of a term's structure, the slowest first."""
    for piece in pieces(term):
        for factor in piece:
            if isinstance(factor, Atom):
                yield factor


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
        if isinstance(factor, Atom) and factor.frozen is None:
            factor.frozen = reason
            for part in factor.concat or ():
                freeze(part, reason)


def renumber(term: Term) -> None:
    """These places, which stay, become places of a new axis that is not tied to them."""
    for one in atoms(term):
        one.renumbered = True
