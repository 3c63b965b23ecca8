"""The axis names of a spec, followed through a program.

Discovery is run once more, this time from leaves whose axes are those of the spec: a node
for each name. So a spec that leaves names out, or calls them otherwise, is followed as it
is, and every value of the program has labels like those of the leaves.
"""

import itertools
from collections.abc import Mapping, Sequence

from jax.extend import core

from linconn_jax.permutation._discover.axis_symbols import (
    Node,
    Symbol,
    Uniform,
    factors,
    nodes,
    size,
    units,
)
from linconn_jax.permutation._discover.interpret import Findings, interpret
from linconn_jax.permutation._discover.traced_array import Leaf, TracedArray, tie_axes
from linconn_jax.permutation._discover.unify import concat
from linconn_jax.permutation.labels import (
    Axes,
    Block,
    Concat,
    Fixed,
    Label,
    Part,
    Stacked,
    Units,
)
from linconn_jax.permutation.spec import BoundSpec

Labels = tuple[Label, ...]


class NamedLeaf(Leaf):
    """A leaf of the variables whose axes are as its labels say."""

    def __init__(
        self,
        path: str,
        shape: tuple[int, ...],
        axes: Axes | Stacked,
        nodes: Mapping[str, Node],
    ):
        super().__init__(path, shape)
        self.axes, self.nodes = axes, nodes

    def new_whole(self) -> tuple[Symbol, ...]:
        if isinstance(self.axes, Stacked):
            slices = tie_axes(self.new_slices(), "the spec has a name for each slice")
            return (units(self.shape[0]), *slices)
        missing = len(self.shape) - self.axes.ndim
        return self._symbols((None,) * missing + self.axes.labels, self.shape)

    def new_slices(self) -> list[tuple[Symbol, ...]]:
        shape, count = self.shape[1:], self.shape[0]
        if isinstance(self.axes, Stacked):
            return [self._symbols(axes.labels, shape) for axes in self.axes.axes]
        labels = ((None,) * len(self.shape) + self.axes.labels)[-len(shape) :]
        return [self._symbols(labels if shape else (), shape) for _ in range(count)]

    def _symbols(self, labels: Labels, shape: tuple[int, ...]) -> tuple[Symbol, ...]:
        both = zip(labels, shape, strict=True)
        return tuple(_symbol(label, n, self.nodes) for label, n in both)


def _symbol(label: Label | Part, length: int, nodes: Mapping[str, Node]) -> Symbol:
    if isinstance(label, Units | Fixed):
        node = nodes[label.name]
        return (node,) if node.size != 1 else ()
    if isinstance(label, Block):
        return tuple(itertools.chain(*(_symbol(x, 0, nodes) for x in label)))
    if isinstance(label, Concat):
        return concat([_symbol(x, 0, nodes) for x in label])
    return units(length if label is None else label)


class NamedValues:
    """What is known of the values of a program.

    Attributes:
      split: names whose units the program takes apart, so that no value holds them.
      tied: names whose units the program ties to those of another name.
    """

    def __init__(
        self,
        bound: BoundSpec,
        program: core.ClosedJaxpr,
        leaves: Sequence[tuple[str, tuple[int, ...], Axes | Stacked]],
    ):
        self.nodes = {name: Node(n) for name, n in bound.sizes.items()}
        known = [NamedLeaf(*leaf, self.nodes) for leaf in leaves]
        given = [v.aval for v in program.jaxpr.invars[len(known) :]]
        inputs = [
            TracedArray(units(n, "an input") for n in getattr(aval, "shape", ()))
            for aval in given
        ]
        findings = Findings()
        interpret(findings, program, (*known, *inputs))
        self._held = findings.held
        self._names: dict[Node, str] = {}
        self.split: set[str] = set()
        self.tied: dict[str, str] = {}
        for name, node in self.nodes.items():
            root = node.root()
            if root.product is not None or root.concat is not None:
                self.split.add(name)
            elif root in self._names:
                self.tied[name] = self._names[root]
            else:
                self._names[root] = name
        self._labels: dict[core.Var, list[Labels]] = {}

    def known_as(self, name: str) -> str:
        """The name in the labels of values: that of a name with the same units."""
        return self.tied.get(name, name)

    def held(self, var: core.Var) -> bool:
        """Whether the outputs depend on the value."""
        return var in self._held

    def visits(self, var: core.Var) -> int:
        """How many times the program of the value was gone through."""
        return len(self._held[var])

    def labels(self, var: core.Var) -> list[Labels]:
        """A label for each axis, for each time that its program was gone through."""
        if var not in self._labels:
            each = self._symbols(var)
            self._labels[var] = [tuple(map(self._label, x)) for x in each]
        return self._labels[var]

    def names(self, var: core.Var, *axes: int) -> set[str]:
        """The names that the value holds, along these axes or along any."""
        return {
            self._names[node]
            for symbols in self._symbols(var)
            for symbol in ([symbols[i] for i in axes] if axes else symbols)
            for node in nodes(symbol)
            if node in self._names
        }

    def uniform(self, var: core.Var, axis: int) -> bool:
        """Whether all slices of the value along an axis are known to be equal."""
        symbols = (each[axis] for each in self._symbols(var))
        return all(isinstance(x, Uniform) for one in symbols for x in factors(one))

    def _symbols(self, var: core.Var) -> list[tuple[Symbol, ...]]:
        found = []
        for array in self._held.get(var, ()):
            if isinstance(array, Leaf) and array.whole is None:
                # Not `symbols`, which would tie the slices of a stack.
                fixed = units(array.shape[0]) if array.shape else ()
                found += [(fixed, *one) for one in array.slices]
            else:
                found.append(array.symbols)
        return found

    def _label(self, symbol: Symbol) -> Label:
        if not any(node in self._names for node in nodes(symbol)):
            return None
        parts = [self._part(x) for x in factors(symbol)]
        return parts[0] if len(parts) == 1 else Block(*parts)

    def _part(self, factor: Node | Uniform) -> Part:
        if isinstance(factor, Uniform):
            return factor.size
        if factor.concat is not None:
            parts = [(self._label(part), size(part)) for part in factor.concat]
            if not any(label for label, _ in parts):
                return factor.size
            return Concat(*(label or n for label, n in parts))
        name = self._names.get(factor)
        return factor.size if name is None else Units(name, factor.size)
