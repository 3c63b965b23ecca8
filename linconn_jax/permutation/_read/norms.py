"""Where a program normalises: units are scaled by the root of a statistic.

A statistic is of the variables (running variances), or of fewer numbers than it scales
(the variance over an axis). So the root within an activation function is none, nor is
that of a constant (the scale of attention scores).
"""

import math

from jax.extend import core

from linconn_jax.permutation._read.graph import Graph
from linconn_jax.permutation._read.kinds import LAYOUT

Atom = core.Var | core.Literal
ROOTS = ("sqrt", "rsqrt")


class Norms:
    """Tells normalisations and roots of statistics."""

    def __init__(self, graph: Graph):
        self.graph, self.values = graph, graph.values
        self._roots: dict[core.Var, int] = {}

    def normalises(self, eqn: core.JaxprEqn) -> bool:
        """Whether units are scaled by the root of a statistic."""
        name = eqn.primitive.name
        if name not in ("mul", "div") or any(
            isinstance(x, core.Literal) for x in eqn.invars
        ):
            return False
        pairs = [tuple(eqn.invars), tuple(eqn.invars[::-1])]
        for value, scale in pairs[: 2 if name == "mul" else 1]:
            if not self.graph.moves(value) or self.rooted(value):
                continue
            if self.values.names(value) and (rooted := self.rooted(scale)):
                return not self.graph.moves(scale) or rooted < self._count(value)
        return False

    def rooted(self, atom: Atom) -> int:
        """Of a root of what inputs or variables change, scaled or not, its size.

        How many numbers the root is taken of, and 0 of anything else.
        """
        if not isinstance(atom, core.Var):
            return 0
        if atom not in self._roots:
            self._roots[atom] = 0  # of what a loop carries
            self._roots[atom] = self._newly_rooted(atom)
        return self._roots[atom]

    def _newly_rooted(self, var: core.Var) -> int:
        if var in self.graph.sources:
            return max(map(self.rooted, self.graph.sources[var]))
        eqn = self.graph.maker.get(var)
        if eqn is None or not eqn.invars:
            return 0
        name, first = eqn.primitive.name, eqn.invars[0]
        power = eqn.invars[1] if name == "pow" else None
        half = isinstance(power, core.Literal) and abs(float(power.val)) == 0.5
        if name in ROOTS or half:
            return 0 if self.graph.is_constant(first) else self._count(first)
        if name in LAYOUT or name == "integer_pow":
            return self.rooted(first)
        if name in ("add", "max", "mul", "div"):
            roots = [n for n in map(self.rooted, eqn.invars) if n]
            rest = [x for x in eqn.invars if not self.rooted(x)]
            if len(roots) == len(rest) == 1 and not self.graph.moves(rest[0]):
                return roots[0]
        return 0

    def _count(self, var: core.Var) -> int:
        """How many numbers it holds, but copies along an axis."""
        each = enumerate(var.aval.shape)
        return math.prod(n for i, n in each if not self.values.uniform(var, i))
