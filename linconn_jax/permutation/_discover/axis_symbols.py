"""The symbol of an axis: which units lie along it, and what is known of them.

A symbol is a row-major product: a tuple of factors, the slowest first, whose sizes
multiply to the length of the axis. A factor is one of

- a `Node`: units that are permuted together, wherever the node occurs;
- a `Uniform`: positions at which all slices of the array are equal, so that a permutation
  of them changes nothing (the rows that `broadcast_in_dim` made of one row).

A flattened map of 24 positions and 5 channels has the symbol `(n24, n5)`, the node `n24`
being frozen. Factors of size 1 are left out: an axis of length 1 has the symbol `()`.

Nodes start free and are only ever restricted: one is merged into another, gets an inner
structure (a `product`, or a `concat` of consecutive parts), or is frozen. What was
concluded of a node stays true when it is restricted further, so one pass over a program
is enough. `unify` ties and splits symbols, `concat` puts parts together and cuts them.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import SupportsIndex


@dataclasses.dataclass(slots=True, eq=False)
class Uniform:
    """`size` positions along which an array is constant."""

    size: int


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """Units that are permuted together: a node of a union-find forest.

    Attributes:
      size: number of units.
      frozen: why the units stay, or None.
      cuts: how many times units were cut in parts to get these.
      merged_into: the node that stands for this one now, or None for a root.
      product: the symbol that a root was found to be, or None.
      concat: the consecutive symbols that a root was found to be, or None.
      scrambled: whether some array holds these units at positions that its symbols do not
        tell; then nothing can be nested under them.
      serial: of two nodes the older has the smaller one; it comes first in all orders.
    """

    size: int
    frozen: str | None = None
    cuts: int = 0
    merged_into: "Node | None" = None
    product: "Symbol | None" = None
    concat: "list[Symbol] | None" = None
    scrambled: bool = False
    serial: int = dataclasses.field(default_factory=itertools.count().__next__)

    def root(self) -> "Node":
        """The node that stands for all those merged with this one."""
        node = self
        while node.merged_into is not None:
            if node.merged_into.merged_into is not None:
                node.merged_into = node.merged_into.merged_into
            node = node.merged_into
        return node


Symbol = tuple[Node | Uniform, ...]


def units(size: int, frozen: str | None = None) -> Symbol:
    """The symbol of one new node."""
    return (Node(size, frozen),) if size != 1 else ()


def uniform(size: int) -> Symbol:
    """The symbol of an axis along which the array is constant."""
    return (Uniform(size),) if size != 1 else ()


def size(symbol: Symbol) -> int:
    """Length of the axis."""
    return math.prod(factor.size for factor in symbol)


def without(symbols: Sequence[Symbol], *axes: SupportsIndex) -> tuple[Symbol, ...]:
    """The symbols of an array, those of these axes left out."""
    return tuple(symbol for i, symbol in enumerate(symbols) if i not in axes)


def factors(symbol: Symbol) -> Symbol:
    """The symbol with products written out, roots, and neighbouring `Uniform`s as one."""
    found = []
    for factor in symbol:
        if isinstance(factor, Node):
            factor = factor.root()
            if factor.product is not None:
                found.extend(factors(factor.product))
                continue
        elif found and isinstance(found[-1], Uniform):
            found[-1] = Uniform(found[-1].size * factor.size)
            continue
        found.append(factor)
    return tuple(found)


def products(symbol: Symbol) -> Iterator[Symbol]:
    """The axis multiplied out: `2×(a+b)` is the product `2×a`, then `2×b`."""
    chain = factors(symbol)
    for at, factor in enumerate(chain):
        if isinstance(factor, Node) and factor.concat is not None:
            for part in factor.concat:
                yield from products(chain[:at] + part + chain[at + 1 :])
            return
    yield chain


def nodes(symbol: Symbol) -> Iterator[Node]:
    """The nodes of all `products`: roots without inner structure, the slowest first."""
    for product in products(symbol):
        yield from (factor for factor in product if isinstance(factor, Node))


def is_frozen(symbol: Symbol) -> bool:
    """Whether no unit along the axis can be permuted."""
    return all(
        isinstance(factor, Uniform) or factor.frozen is not None
        for factor in factors(symbol)
    )


def freeze(symbol: Symbol, reason: str) -> None:
    """No unit along the axis is permuted, nor any that is tied to one."""
    for factor in factors(symbol):
        if isinstance(factor, Node) and factor.frozen is None:
            factor.frozen = reason
            for part in factor.concat or ():
                freeze(part, reason)


def scramble(symbol: Symbol) -> None:
    """Notes that these units become positions of a new axis that is not tied to them."""
    for node in nodes(symbol):
        node.scrambled = True
