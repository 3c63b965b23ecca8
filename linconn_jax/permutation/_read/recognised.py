"""What the equations of a program do to units: biases, scales and norms."""

import math

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


class Recognised:
    """The equations of a graph, recognised."""

    def __init__(self, graph: Graph):
        self.graph, self.values = graph, graph.values
        self._roots: dict[core.Var, int] = {}

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
        if name not in ("mul", "div") or not all(map(is_var, eqn.invars)):
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
        if not is_var(atom):
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
        return self.values.names(atom) if is_var(atom) else set()

    def _moves(self, atom: Atom) -> bool:
        return is_var(atom) and atom in self.graph.moving


def is_var(atom: object) -> bool:
    return isinstance(atom, core.Var)
