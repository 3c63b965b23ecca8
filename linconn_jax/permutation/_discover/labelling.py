"""From nodes to a spec: nesting, names for the units, labels for the axes of the leaves.

Nesting: how units X are permuted may depend on the position along an axis A (attention:
what is inside a head, on the head) if no array of the program holds X without holding A
exactly once. Every primitive then works at each position of A alone, or sums over both.
"""

import collections
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from linconn_jax.permutation._discover.axis_symbols import (
    Node,
    Symbol,
    factors,
    nodes,
    products,
    size,
)
from linconn_jax.permutation._discover.interpret import Findings
from linconn_jax.permutation._discover.traced_array import Leaf
from linconn_jax.permutation.labels import (
    Axes,
    Block,
    Concat,
    Fixed,
    Label,
    Stacked,
    Units,
)

_COLLECTIONS = ("params", "param", "batch_stats")
_KINDS = ("kernel", "weight", "w", "embedding", "scale", "bias", "b")
WRAPPERS = ("value", "raw_value")


class Labeller:
    """Names the nodes, and labels leaves by them.

    Units are named after the leaf that writes them first; those that none writes, after
    the first leaf that holds them.
    """

    def __init__(self, leaves: Sequence[Leaf], findings: Findings):
        of_leaves = (symbols for leaf in leaves for symbols in leaf.each)
        self.parents = find_parents((*findings.arrays, *of_leaves))
        self.names: dict[Node, str] = {}
        above = set(itertools.chain(*self.parents.values()))
        for path, symbol in (*findings.written, *_axes(leaves)):
            for node in nodes(symbol):
                if node not in self.names and (node.frozen is None or node in above):
                    self.names[node] = self._new_name(node, path)

    def _new_name(self, node: Node, path: str) -> str:
        stem, taken = _stem(path), set(self.names.values())
        above = [self.names.get(parent) for parent in self.parents.get(node, ())]
        base = f"{stem}/inside" if stem in above else stem
        names = (stem, base, *(f"{base}/{n}" for n in range(2, len(taken) + 3)))
        return next(name for name in names if name not in taken)

    def leaf(self, leaf: Leaf) -> Axes | Stacked:
        """The labels of a leaf."""
        each = [Axes(*map(self._label, symbols)) for symbols in leaf.each]
        if leaf.whole is not None:
            return each[0]
        if not each:
            return Axes(*(None for _ in leaf.shape))
        if all(axes == each[0] for axes in each):
            return Axes(None, *each[0].labels)
        return Stacked(*each)

    def _label(self, symbol: Symbol) -> Label:
        if not any(node in self.names for node in nodes(symbol)):
            return None
        labels = [self._factor(node) for node in factors(symbol)]
        return labels[0] if len(labels) == 1 else Block(*labels)

    def _factor(self, node: Node) -> int | Label:
        if node.concat is not None:
            parts = [self._label(part) for part in node.concat]
            if not any(parts):
                return node.size
            return Concat(*map(lambda x, y: x or size(y), parts, node.concat))
        if node not in self.names:
            return node.size
        if node.frozen is not None:
            return Fixed(self.names[node], node.size)
        above = tuple(self.names[parent] for parent in self.parents.get(node, ()))
        return Units(self.names[node], node.size, above)


def freeze_unused(leaves: Sequence[Leaf], findings: Findings) -> None:
    """Freezes units that no computed array holds: parts of leaves that nothing reads."""
    used = {x for array in findings.arrays for symbol in array for x in nodes(symbol)}
    for _, symbol in _axes(leaves):
        for node in nodes(symbol):
            if node not in used and node.frozen is None:
                node.frozen = "not used by the function"


def reasons(leaf: Leaf) -> tuple[str | None, ...]:
    """Why each axis stays; of a leaf taken slice by slice, as in the first slice."""
    if not leaf.each:
        return tuple("not used by the function" for _ in leaf.shape)
    found = tuple(map(_reason, leaf.each[0]))
    return found if leaf.whole is not None else ("a stack of slices", *found)


def _reason(symbol: Symbol) -> str | None:
    why = [node.frozen for node in nodes(symbol)]
    alone = "each unit is used in a way of its own" if size(symbol) != 1 else "length 1"
    return None if None in why else next(iter(why), alone)


def depths(
    leaves: Sequence[Leaf], findings: Findings
) -> dict[str, list[tuple[float, ...]]]:
    """For each axis of each leaf where the last of its units is met first.

    The last, because units that were there before may be followed by others.
    """
    first: dict[Node, float] = {}
    for symbol in itertools.chain(*findings.met):
        for node in nodes(symbol):
            first.setdefault(node, float(len(first)))
    return {
        leaf.path: [
            tuple(
                max((first.get(x, math.inf) for x in nodes(symbol)), default=math.inf)
                for symbol in symbols
            )
            for symbols in leaf.each
        ]
        for leaf in leaves
    }


def _axes(leaves: Sequence[Leaf]) -> Iterator[tuple[str, Symbol]]:
    for leaf in leaves:
        for symbols in leaf.each:
            yield from ((leaf.path, symbol) for symbol in symbols)


def _stem(path: str) -> str:
    """`block_1/conv_2` for `params/block_1/conv_2/kernel`.

    Of slice 3 of a stack of layers, `blocks/conv_2[3]` for `blocks/conv_2/kernel[3]`; of
    variables that are one array, which has no path, `units`.
    """
    path, bracket, index = path.partition("[")
    parts = path.split("/")
    if len(parts) > 1 and parts[0] in _COLLECTIONS:
        parts = parts[1:]
    for ends, least in ((WRAPPERS, 2), (_KINDS, 1)):
        if len(parts) > least and parts[-1] in ends:
            parts = parts[:-1]
    return ("/".join(parts) or "units") + bracket + index


def find_parents(arrays: Iterable[tuple[Symbol, ...]]) -> dict[Node, list[Node]]:
    """For each node that is free, its parents: the nodes it lies under, outermost first.

    Args:
      arrays: the symbols of each array of a program.
    """
    whole = (tuple(itertools.chain(*symbols)) for symbols in arrays)
    together = {
        tuple(x for x in product if isinstance(x, Node))
        for symbol in whole
        for product in products(symbol)
    }
    found: dict[Node, set[Node]] = {}
    for product in together:
        count = collections.Counter(product)
        once = {x for x, times in count.items() if times == 1 and not x.scrambled}
        for node in count:
            if node.frozen is None:
                possible = found.setdefault(node, once - {node})
                possible &= once
    # Of two that could each lie under the other, the older one is above.
    for node in sorted(found, key=lambda node: node.serial):
        for other in list(found[node]):
            if other.serial > node.serial and node in found.get(other, ()):
                found[node].discard(other)

    # Whoever lies under A lies under all that A lies under, as it is never without A: an
    # outer node has fewer parents.
    def depth(node: Node) -> tuple[int, int]:
        return len(found.get(node, ())), node.serial

    return {node: sorted(above, key=depth) for node, above in found.items()}
