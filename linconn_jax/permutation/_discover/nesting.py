"""Which units may be permuted in a way of their own at each place of another axis.

The units X of an axis may depend on the place along an axis A (attention: what is inside
a head, on the head) if no array of the program holds X without holding A exactly once.
Every primitive then works at each place of A by itself, or sums over both.
"""

import collections
from collections.abc import Iterable

from linconn_jax.permutation._discover.terms import Atom, Term, pieces

Parents = dict[Atom, list[Atom]]


def parents(seen: Iterable[tuple[Term, ...]]) -> Parents:
    """For each atom that moves, the atoms it lies under, the outermost first.

    Args:
      seen: of each array of a program the terms of its axes.
    """
    found: dict[Atom, set[Atom]] = {}
    for piece in {piece for terms in seen for piece in _products(terms)}:
        count = collections.Counter(piece)
        once = {
            one for one, times in count.items() if times == 1 and not one.renumbered
        }
        for one in count:
            if one.frozen is None:
                possible = found.setdefault(one, once - {one})
                possible &= once
    # Whoever lies under A lies under all that A lies under, as it is never without A.
    _break_circles(found)

    def depth(one: Atom) -> tuple[int, int]:  # whoever is above has fewer parents
        return len(found.get(one, ())), one.number

    return {one: sorted(above, key=depth) for one, above in found.items()}


def _products(terms: tuple[Term, ...]) -> set[tuple[Atom, ...]]:
    """The atoms of each product of which an array is made, all axes together."""
    product = tuple(factor for term in terms for factor in term)
    return {
        tuple(factor for factor in piece if isinstance(factor, Atom))
        for piece in pieces(product)
    }


def _break_circles(found: dict[Atom, set[Atom]]) -> None:
    """Of two that could each lie under the other, the older one is above."""
    for one in sorted(found, key=lambda atom: atom.number):
        for other in list(found[one]):
            if other.number > one.number and one in found.get(other, ()):
                found[one].discard(other)
