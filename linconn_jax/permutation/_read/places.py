"""The places of a program at which the units of an axis name are read.

- "linear": after a linear map that makes the units, with its bias: the output of a
  product with a leaf (or of a look-up in one) that has the name where its operand from
  the inputs has not; and that of a product at each unit (a depthwise convolution).
- "norm": after a normalisation: what is multiplied or divided by the root of a statistic,
  with the scale and shift after it. A name without one is read after its linear map.
- "relu": after the nonlinearity, whichever it is: what a product sums over the name. It
  is looked up before pooling, padding and the like, which act on each unit alone.
- "all": all of these.

So a residual stream is read in all blocks, wherever a layer or norm reads or writes it;
where norms stand before the layers (transformers), its "relu" is what the norms put out.
"""

from collections.abc import Iterator

from jax.extend import core

from linconn_jax.permutation._read.graph import Graph
from linconn_jax.permutation._read.kinds import (
    BUILT_IN,
    LAYOUT,
    POSITIONS,
    PRODUCTS,
    REDUCTIONS,
)
from linconn_jax.permutation._read.norms import Norms

Atom = core.Var | core.Literal


class Places:
    """Finds the places of each name in a program."""

    def __init__(self, graph: Graph):
        self.graph, self.values = graph, graph.values
        self.norms = Norms(graph)

    def find(self, at: str) -> dict[str, list[core.Var]]:
        """The values to read for each name, in the order of the program."""
        if at == "all":
            found: dict[str, dict[core.Var, None]] = {}
            for each in (self.linear(), self.norm(), self.relu()):
                for name, values in each.items():
                    found.setdefault(name, {}).update(dict.fromkeys(values))
            return {name: list(values) for name, values in found.items()}
        if at == "norm":
            normed = self.norm()
            return (self.linear() | normed) if normed else {}
        return self.linear() if at == "linear" else self.relu()

    def linear(self) -> dict[str, list[core.Var]]:
        """After the linear maps."""
        return _collected(
            (name, self._biased(var))
            for eqn in self.graph.equations
            for var in filter(self.graph.moves, eqn.outvars)
            for name in sorted(self._made(eqn, var))
        )

    def norm(self) -> dict[str, list[core.Var]]:
        """After the normalisations."""
        return _collected(
            (name, var)
            for eqn in self.graph.equations
            if self.norms.normalises(eqn)
            for var in [self._scaled(eqn.outvars[0])]
            for name in sorted(self.values.names(eqn.outvars[0]))
        )

    def relu(self) -> dict[str, list[core.Var]]:
        """After the nonlinearities; of names that no product sums over, before sums."""
        found = _collected(
            (name, source)
            for eqn in self.graph.equations
            for var, name in self._contracted(eqn)
            for source in self.origins(var, name)
        )
        summed = _collected(
            (name, source)
            for eqn in self.graph.equations
            if eqn.primitive.name in REDUCTIONS and self.graph.moves(eqn.invars[0])
            for name in sorted(self._lost(eqn, eqn.invars[0]) - found.keys())
            for source in self.origins(eqn.invars[0], name, products=True)
        )
        return found | summed

    def origins(
        self, var: core.Var, name: str, *, products: bool = False
    ) -> list[core.Var]:
        """The values that hold the units of a name, before positions are pooled.

        With `products` also before they are multiplied by leaves.
        """
        found, seen, waiting = [], set(), [var]
        while waiting:
            var = waiting.pop(0)
            if var in seen or not self.graph.moves(var) or name not in self._names(var):
                continue
            seen.add(var)
            eqn = self.graph.maker.get(var)
            if var in self.graph.sources:
                waiting += self.graph.sources[var]
            elif eqn is not None and self._transparent(eqn, products):
                before = [x for x in self.graph.variables(eqn) if self.graph.moves(x)]
                fits = [x for x in before if name in self._names(x)]
                waiting += fits
                if not fits:
                    found.append(var)
            elif eqn is not None:
                found.append(var)
        return found

    def _transparent(self, eqn: core.JaxprEqn, products: bool) -> bool:
        """Whether the numbers that come out are, up to a factor, those that go in."""
        name = eqn.primitive.name
        if name in ("mul", "div"):
            moving = [x for x in eqn.invars if self.graph.moves(x)]
            rest = [x for x in eqn.invars if not self.graph.moves(x)]
            first = name == "mul" or self.graph.moves(eqn.invars[0])
            free = products or all(map(self.graph.is_constant, rest))
            return first and len(moving) == 1 and free
        return name in LAYOUT or name in POSITIONS

    def _contracted(self, eqn: core.JaxprEqn) -> Iterator[tuple[core.Var, str]]:
        """Operands that depend on the inputs, and the names that are summed over."""
        primitive = eqn.primitive.name
        for i, var in enumerate(eqn.invars):
            if not self.graph.moves(var):
                continue
            names: set[str] = set()
            if primitive == "dot_general":
                summed, batch = (x[i] for x in eqn.params["dimension_numbers"])
                names = self._along(var, summed)
                if not self.graph.moves(eqn.invars[1 - i]):
                    names |= self._along(var, batch)
            elif primitive == "conv_general_dilated" and i == 0:
                channels = eqn.params["dimension_numbers"].lhs_spec[1]
                names = self._along(var, [channels])
            elif primitive not in BUILT_IN:
                names = self._lost(eqn, var)
            yield from ((var, name) for name in sorted(names))

    def _along(self, var: core.Var, axes: object) -> set[str]:
        chosen = tuple(axes)
        return self.values.names(var, *chosen) if chosen else set()

    def _lost(self, eqn: core.JaxprEqn, var: core.Var) -> set[str]:
        """The names that an operand holds and no output does."""
        return self._names(var).difference(*map(self._names, eqn.outvars))

    def _made(self, eqn: core.JaxprEqn, var: core.Var) -> set[str]:
        """The names of the units that a linear map makes."""
        primitive = eqn.primitive.name
        moving = [x for x in self.graph.variables(eqn) if self.graph.moves(x)]
        rest = [x for x in self.graph.variables(eqn) if not self.graph.moves(x)]
        if primitive in PRODUCTS:
            free = (self._along(x, _free(eqn, i)) for i, x in enumerate(eqn.invars))
            both = zip(eqn.invars, free, strict=True)
            return set().union(*(names for x, names in both if not self.graph.moves(x)))
        looked_up = primitive in ("gather", "cond", "mul") or primitive not in BUILT_IN
        if not looked_up or (
            primitive == "mul" and any(map(self.norms.rooted, moving))
        ):
            return set()
        of_rest = self._names(var) & set().union(*map(self._names, rest))
        return of_rest.difference(*map(self._names, moving))

    def _biased(self, var: core.Var) -> core.Var:
        """The value once its bias is added, if that is what comes next."""
        now = var
        while eqn := self._next(now):
            if eqn.primitive.name not in LAYOUT:
                return eqn.outvars[0] if self._adds_bias(eqn) else var
            now = eqn.outvars[0]
        return var

    def _scaled(self, var: core.Var) -> core.Var:
        """The normalised value after scale and shift."""
        now = last = var
        while eqn := self._next(now):
            now = eqn.outvars[0]
            if self._adds_bias(eqn) or self._scales(eqn):
                last = now
            elif eqn.primitive.name not in LAYOUT:
                break
        return last

    def _next(self, var: core.Var) -> core.JaxprEqn | None:
        """The one equation that a value enters."""
        uses = self.graph.uses[var]
        return uses[0] if len(uses) == 1 and len(uses[0].outvars) == 1 else None

    def _adds_bias(self, eqn: core.JaxprEqn) -> bool:
        return eqn.primitive.name in ("add", "add_any") and self._of_units(eqn)

    def _scales(self, eqn: core.JaxprEqn) -> bool:
        return eqn.primitive.name == "mul" and self._of_units(eqn)

    def _of_units(self, eqn: core.JaxprEqn) -> bool:
        """Whether one of two operands is of the variables, and differs by unit alone."""
        rest = [x for x in eqn.invars if not self.graph.moves(x)]
        if len(rest) != 1 or self.graph.is_constant(rest[0]):
            return False
        (var,) = rest
        return all(
            self.values.uniform(var, i) or self.values.names(var, i)
            for i in range(len(var.aval.shape))
        )

    def _names(self, atom: Atom) -> set[str]:
        return self.values.names(atom) if isinstance(atom, core.Var) else set()


def _free(eqn: core.JaxprEqn, operand: int) -> list[int]:
    """The axes of an operand of a product that are not summed over."""
    numbers = eqn.params["dimension_numbers"]
    if eqn.primitive.name == "dot_general":
        axes = range(len(eqn.invars[operand].aval.shape))
        return [i for i in axes if i not in numbers[0][operand]]
    return [numbers.rhs_spec[0]] if operand else []


def _collected(found: Iterator[tuple[str, core.Var]]) -> dict[str, list[core.Var]]:
    """Values by name, each once."""
    values: dict[str, dict[core.Var, None]] = {}
    for name, var in found:
        values.setdefault(name, {})[var] = None
    return {name: list(each) for name, each in values.items()}
