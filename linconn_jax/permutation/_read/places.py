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

import math
from collections.abc import Iterator

from jax.extend import core

from linconn_jax.permutation._discover import discovery  # noqa: F401 - all rules are in
from linconn_jax.permutation._discover.registry import RULES
from linconn_jax.permutation._read.graph import Graph

Atom = core.Var | core.Literal
BUILT_IN = frozenset(RULES)
"""Primitives of which it is known whether they are products; all others are taken for
such."""
PRODUCTS = ("dot_general", "conv_general_dilated")
LAYOUT = (
    "reshape",
    "transpose",
    "squeeze",
    "broadcast_in_dim",
    "convert_element_type",
    "copy",
    "copy_p",
    "reduce_precision",
    "optimization_barrier",
    "device_put",
    "sharding_constraint",
    "stop_gradient",
    "name",
    "pvary",
    "reshard",
)
"""Primitives that change no number."""
POSITIONS = (
    "slice",
    "split",
    "unstack",
    "stack",
    "pad",
    "concatenate",
    "dynamic_slice",
    "dynamic_update_slice",
    "gather",
    "rev",
    "tile",
    "reduce_sum",
    "reduce_max",
    "reduce_min",
    "reduce_window_sum",
    "reduce_window_max",
    "reduce_window_min",
    "psum",
    "pmax",
    "pmin",
)
"""Primitives that pick, mix or pool positions, each unit for itself."""
REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")
ROOTS = ("sqrt", "rsqrt")


class Places:
    """Finds the places of each name in a program."""

    def __init__(self, graph: Graph):
        self.graph, self.values = graph, graph.values
        self._roots: dict[core.Var, int] = {}

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
            for var in filter(self._moves, eqn.outvars)
            for name in sorted(self._made(eqn, var))
        )

    def norm(self) -> dict[str, list[core.Var]]:
        """After the normalisations."""
        return _collected(
            (name, var)
            for eqn in self.graph.equations
            if self._normalises(eqn)
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
            if eqn.primitive.name in REDUCTIONS and self._moves(eqn.invars[0])
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
            if var in seen or not self._moves(var) or name not in self._names(var):
                continue
            seen.add(var)
            eqn = self.graph.maker.get(var)
            if var in self.graph.sources:
                waiting += self.graph.sources[var]
            elif eqn is not None and self._transparent(eqn, products):
                before = [x for x in self.graph.variables(eqn) if self._moves(x)]
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
            moving = [x for x in eqn.invars if self._moves(x)]
            rest = [x for x in eqn.invars if not self._moves(x)]
            first = name == "mul" or self._moves(eqn.invars[0])
            free = products or all(map(self.graph.is_constant, rest))
            return first and len(moving) == 1 and free
        return name in LAYOUT or name in POSITIONS

    def _contracted(self, eqn: core.JaxprEqn) -> Iterator[tuple[core.Var, str]]:
        """Operands that depend on the inputs, and the names that are summed over."""
        primitive = eqn.primitive.name
        for i, var in enumerate(eqn.invars):
            if not self._moves(var):
                continue
            names: set[str] = set()
            if primitive == "dot_general":
                summed, batch = (x[i] for x in eqn.params["dimension_numbers"])
                names = self._along(var, summed)
                if not self._moves(eqn.invars[1 - i]):
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
        moving = [x for x in self.graph.variables(eqn) if self._moves(x)]
        rest = [x for x in self.graph.variables(eqn) if not self._moves(x)]
        if primitive in PRODUCTS:
            free = (self._along(x, _free(eqn, i)) for i, x in enumerate(eqn.invars))
            both = zip(eqn.invars, free, strict=True)
            return set().union(*(names for x, names in both if not self._moves(x)))
        looked_up = primitive in ("gather", "cond", "mul") or primitive not in BUILT_IN
        if not looked_up or (primitive == "mul" and any(map(self._rooted, moving))):
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
        rest = [x for x in eqn.invars if not self._moves(x)]
        if len(rest) != 1 or self.graph.is_constant(rest[0]):
            return False
        (var,) = rest
        return all(
            self.values.uniform(var, i) or self.values.names(var, i)
            for i in range(len(var.aval.shape))
        )

    def _normalises(self, eqn: core.JaxprEqn) -> bool:
        """Whether units are scaled by the root of a statistic."""
        name = eqn.primitive.name
        if name not in ("mul", "div") or not all(map(_is_var, eqn.invars)):
            return False
        pairs = [tuple(eqn.invars), tuple(eqn.invars[::-1])]
        for value, scale in pairs[: 2 if name == "mul" else 1]:
            if not self._moves(value) or self._rooted(value):
                continue
            if self._names(value) and (rooted := self._rooted(scale)):
                return not self._moves(scale) or rooted < self._count(value)
        return False

    def _rooted(self, atom: Atom) -> int:
        """Of a root of what inputs or variables change, scaled or not, its size.

        How many numbers the root is taken of, and 0 of anything else.
        """
        if not _is_var(atom):
            return 0
        if atom not in self._roots:
            self._roots[atom] = 0  # of what a loop carries
            self._roots[atom] = self._newly_rooted(atom)
        return self._roots[atom]

    def _newly_rooted(self, var: core.Var) -> int:
        if var in self.graph.sources:
            return max(map(self._rooted, self.graph.sources[var]))
        eqn = self.graph.maker.get(var)
        if eqn is None or not eqn.invars:
            return 0
        name, first = eqn.primitive.name, eqn.invars[0]
        power = eqn.invars[1] if name == "pow" else None
        half = isinstance(power, core.Literal) and abs(float(power.val)) == 0.5
        if name in ROOTS or half:
            return 0 if self.graph.is_constant(first) else self._count(first)
        if name in LAYOUT or name == "integer_pow":
            return self._rooted(first)
        if name in ("add", "max", "mul", "div"):
            roots = [n for n in map(self._rooted, eqn.invars) if n]
            rest = [x for x in eqn.invars if not self._rooted(x)]
            if len(roots) == len(rest) == 1 and not self._moves(rest[0]):
                return roots[0]
        return 0

    def _count(self, var: core.Var) -> int:
        """How many numbers it holds, but copies along an axis."""
        each = enumerate(var.aval.shape)
        return math.prod(n for i, n in each if not self.values.uniform(var, i))

    def _names(self, atom: Atom) -> set[str]:
        return self.values.names(atom) if _is_var(atom) else set()

    def _moves(self, atom: Atom) -> bool:
        return _is_var(atom) and atom in self.graph.moving


def _is_var(atom: object) -> bool:
    return isinstance(atom, core.Var)


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
