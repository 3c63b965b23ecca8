"""Where the values of a program come from, and what they depend on."""

import collections
from collections.abc import Iterator

from jax.extend import core

from linconn_jax.permutation._read.named import NamedValues
from linconn_jax.permutation._read.programs import inner


class Graph:
    """A program written out, with its branches and loops.

    Attributes:
      equations: those on which the outputs depend, in the order of the program.
      maker: the equation that computes a value.
      sources: of a value that only stands for others (what a loop carries), those.
      uses: the equations that a value enters.
      hidden: values inside of branches and of loops without a known number of rounds,
        which cannot be looked at from outside.
      loops: the scans that a value lies in, the outermost first.
      moving: values that depend on the inputs.
      constant: values that depend neither on inputs nor on variables.
    """

    def __init__(self, program: core.ClosedJaxpr, values: NamedValues, leaves: int):
        self.values = values
        self.equations: list[core.JaxprEqn] = []
        self.maker: dict[core.Var, core.JaxprEqn] = {}
        self.sources: dict[core.Var, list[core.Var]] = {}
        self.uses: dict[core.Var, list[core.JaxprEqn]] = collections.defaultdict(list)
        self.hidden: set[core.Var] = set()
        self.loops: dict[core.Var, tuple[core.JaxprEqn, ...]] = {}
        self._add(program.jaxpr, (), False)
        inputs = program.jaxpr.invars
        self.moving = self._reached({*inputs[leaves:]})
        self._of_leaves = self._reached({*inputs[:leaves]})

    def moves(self, atom: core.Var | core.Literal) -> bool:
        """Whether a value depends on the inputs."""
        return isinstance(atom, core.Var) and atom in self.moving

    def is_constant(self, atom: core.Var | core.Literal) -> bool:
        """Whether a value depends neither on the inputs nor on the variables."""
        is_literal = isinstance(atom, core.Literal)
        return is_literal or not (atom in self.moving or atom in self._of_leaves)

    def variables(self, eqn: core.JaxprEqn) -> Iterator[core.Var]:
        """The operands that are no numbers in the program."""
        return (x for x in eqn.invars if isinstance(x, core.Var))

    def rounds(self, loop: core.JaxprEqn) -> int:
        """How many rounds of a scan were gone through: all, or one for all."""
        (body,) = inner(loop)
        made = next(v for e in body.eqns for v in e.outvars if self.values.held(v))
        outside = next(v for v in loop.outvars if self.values.held(v))
        return self.values.visits(made) // self.values.visits(outside)

    def _add(
        self, jaxpr: core.Jaxpr, loops: tuple[core.JaxprEqn, ...], hidden: bool
    ) -> None:
        for eqn in jaxpr.eqns:
            if not any(map(self.values.held, eqn.outvars)):
                continue
            self.equations.append(eqn)
            for var in eqn.outvars:
                self.maker[var], self.loops[var] = eqn, loops
                if hidden:
                    self.hidden.add(var)
            for var in {*self.variables(eqn)}:
                self.uses[var].append(eqn)
            name = eqn.primitive.name
            for program in inner(eqn):
                within = (*loops, eqn) if name == "scan" else loops
                self._add(program, within, hidden or name != "scan")
            {"scan": self._scan, "while": self._while, "cond": self._cond}.get(
                name, lambda _: None
            )(eqn)

    def _scan(self, eqn: core.JaxprEqn) -> None:
        (body,) = inner(eqn)
        first, count = eqn.params["num_consts"], eqn.params["num_carry"]
        self._alias(body.invars, eqn.invars)
        self._alias(body.invars[first : first + count], body.outvars)
        self._alias(eqn.outvars, body.outvars)

    def _while(self, eqn: core.JaxprEqn) -> None:
        test, body = inner(eqn)
        n, m = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        of_test, of_body, carried = (
            eqn.invars[:n],
            eqn.invars[n : n + m],
            eqn.invars[n + m :],
        )
        self._alias(test.invars, [*of_test, *carried])
        self._alias(body.invars, [*of_body, *carried])
        self._alias(body.invars[m:], body.outvars)

    def _cond(self, eqn: core.JaxprEqn) -> None:
        for branch in inner(eqn):
            self._alias(branch.invars, eqn.invars[1:])

    def _alias(self, inside: list, outside: list) -> None:
        for var, source in zip(inside, outside, strict=False):
            if isinstance(source, core.Var):
                self.sources.setdefault(var, []).append(source)

    def _reached(self, start: set[core.Var]) -> set[core.Var]:
        """All values that depend on some of these."""
        found, before = set(start), -1
        inside = {v for eqn in self.equations for p in inner(eqn) for v in p.invars}
        while len(found) != before:
            before = len(found)
            for var in inside:
                if not found.isdisjoint(self.sources.get(var, ())):
                    found.add(var)
            for eqn in self.equations:
                # What a scan puts out is what its body makes.
                if eqn.primitive.name == "scan":
                    outputs = [
                        v
                        for v in eqn.outvars
                        if not found.isdisjoint(self.sources.get(v, ()))
                    ]
                elif found.isdisjoint(self.variables(eqn)):
                    continue
                else:
                    outputs = eqn.outvars
                found.update(outputs)
        return found
