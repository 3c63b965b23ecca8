"""The pass over a program: the rule of each primitive gives symbols to its outputs."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
from jax.extend import core, source_info_util

from linconn_jax.permutation._discover import axis_symbols, unify
from linconn_jax.permutation._discover.axis_symbols import Symbol, size
from linconn_jax.permutation._discover.registry import RULES
from linconn_jax.permutation._discover.traced_array import (
    Leaf,
    TracedArray,
    constant,
    tie_axes,
)

Program = core.Jaxpr | core.ClosedJaxpr
SHOWN = ("debug_callback", "debug_print")
"""Primitives that only show what they are given."""


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a pass over a program finds beside the symbols.

    Attributes:
      arrays: the symbols of every array, also of those inside a primitive, to read off
        which units always occur together.
      written: (path of a leaf, symbol) in the order in which units come into being.
      unknown: calls of primitives without a rule, with their place in the code.
      met: the symbols of what takes part in computing from the inputs, in the order of
        the program; what is done to variables alone comes before or after, as it may.
      held: what each variable of the program, and of those inside it, stood for: once
        for each time that its program was gone through.
    """

    arrays: list[tuple[Symbol, ...]] = dataclasses.field(default_factory=list)
    written: list[tuple[str, Symbol]] = dataclasses.field(default_factory=list)
    unknown: list[str] = dataclasses.field(default_factory=list)
    met: list[tuple[Symbol, ...]] = dataclasses.field(default_factory=list)
    held: dict[core.Var, list[TracedArray]] = dataclasses.field(default_factory=dict)


class Operation:
    """A call of a primitive in the traced program, as its rule sees it.

    Attributes:
      params: the parameters of the primitive.
      inputs: the operands.
      in_shapes, out_shapes: shapes of the operands and of the outputs.
      reason: `"cumsum at model.py:12 (apply)"`, told of all that is frozen here.
      moves: whether an operand depends on the inputs of the function.
      runs: whether the rule has run a program, whose arrays are met within it.
      eqn: the equation of the jaxpr; outputs that nothing reads are `DropVar`s.
    """

    def __init__(
        self, findings: Findings, eqn: core.JaxprEqn, inputs: Sequence, outside: str
    ):
        self.findings, self.eqn, self.inputs = findings, eqn, inputs
        self.params, self.moves = eqn.params, any(x.moves for x in inputs)
        self.runs = False
        self.in_shapes = [getattr(v.aval, "shape", ()) for v in eqn.invars]
        self.out_shapes = [getattr(v.aval, "shape", ()) for v in eqn.outvars]
        # A library's function within has no place in the user's code but its call.
        self.where = source_info_util.summarize(eqn.source_info) or outside
        self.reason = f"{eqn.primitive.name} at {self.where}"

    def tie(self, a: Symbol, b: Symbol) -> Symbol:
        """From now on the units of two axes, of one length, are permuted alike."""
        if size(a) != size(b):
            raise ValueError(
                f"{self.reason}: its rule ties axes of lengths {size(a)} and {size(b)}; "
                "tie axes of one length"
            )
        return unify.tie(a, b, self.reason)

    def tie_axes(self, arrays: Iterable[Sequence[Symbol]]) -> tuple[Symbol, ...]:
        """The symbols of what is computed element by element from these arrays."""
        return tie_axes(arrays, self.reason)

    def freeze(self, symbols: Sequence[Symbol], *axes: int) -> None:
        """Freezes axes of an array along which positions matter.

        The positions may get mixed: units of the other axes are then permuted alike at
        all of them.
        """
        chosen = [range(len(symbols))[axis] for axis in axes]
        for axis in chosen:
            axis_symbols.freeze(symbols[axis], self.reason)
        if chosen:
            self.holds(axis_symbols.without(symbols, *chosen))

    def fixed(self, length: int) -> Symbol:
        """A new axis whose positions cannot be permuted."""
        return axis_symbols.units(length, self.reason)

    def uniform(self, length: int) -> Symbol:
        """A new axis along which all slices of the array are equal."""
        return axis_symbols.uniform(length)

    def output(
        self, symbols: Iterable[Any], *, summed: Iterable[Symbol] = ()
    ) -> TracedArray:
        """An output with a symbol for each axis.

        `summed` are axes that the primitive sums over (or takes the maximum, or anything
        else for which the order does not matter).
        """
        symbols = tuple(symbols)
        for symbol in symbols:
            if not isinstance(symbol, tuple):
                raise ValueError(
                    f"{self.reason}: {symbol!r} is no symbol; take it from the operands' "
                    "symbols, or make one with op.fixed or op.uniform"
                )
        self.holds((*symbols, *summed))
        return TracedArray(symbols)

    def mix(self, array: TracedArray, axes: Sequence[int]) -> TracedArray:
        """Freezes these axes; the output has other positions there.

        They are new: what was uniform along them need not be so any more.
        """
        self.freeze(array.symbols, *axes)
        symbols = list(array.symbols)
        for axis in axes:
            symbols[axis] = self.fixed(self.out_shapes[0][axis])
        return TracedArray(symbols)

    def holds(self, symbols: Iterable[Symbol]) -> None:
        """Notes an array with these axes, at the output or inside the primitive."""
        self.findings.arrays.append(tuple(symbols))

    def name_after(self, array: TracedArray, symbols: Iterable[Symbol]) -> None:
        """Names units that come into being here after `array`, if it is a leaf."""
        if array.path is not None:
            self.findings.written.extend((array.path, symbol) for symbol in symbols)

    def opaque(self) -> list[TracedArray]:
        """The outputs if nothing is known: all axes of all arrays are frozen."""
        for array in self.inputs:
            self.freeze(array.symbols, *range(len(array.symbols)))
        return [TracedArray(map(self.fixed, shape)) for shape in self.out_shapes]

    def run(self, program: Program, inputs: Sequence[TracedArray]) -> list[TracedArray]:
        """The outputs of a program that the primitive runs, of arrays like `inputs`."""
        self.runs = True
        for array in inputs if self.moves else ():
            array.moves = array.path is None
        return interpret(self.findings, program, inputs, self.where)

    def like(self, function: Callable) -> list[TracedArray]:
        """The outputs of a function that JAX can trace, called with the operands."""
        avals = [v.aval for v in self.eqn.invars]
        operands = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]
        with source_info_util.user_context(self.eqn.source_info.traceback):
            return self.run(jax.make_jaxpr(function)(*operands), self.inputs)


def interpret(
    findings: Findings, program: Program, inputs: Sequence, outside: str = ""
) -> list[TracedArray]:
    """The outputs of a program, of a `TracedArray` for each input.

    What is found beside them is added to `findings`; `outside` is the place in the code
    where the program is called.
    """
    closed = isinstance(program, core.ClosedJaxpr)
    jaxpr, constants = (program.jaxpr, program.consts) if closed else (program, ())
    known = dict(zip(jaxpr.constvars, map(constant, constants), strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: core.Var | core.Literal) -> TracedArray:
        if isinstance(atom, core.Literal):
            return constant(atom.val)
        if _empty(atom):
            return TracedArray(map(axis_symbols.uniform, atom.aval.shape))
        return known[atom]

    for eqn in _needed(jaxpr):
        op = Operation(findings, eqn, list(map(read, eqn.invars)), outside)
        made = _outputs(op)
        if op.moves:
            _meet(op, made)
        for var, array in zip(eqn.outvars, made, strict=True):
            if not isinstance(array, Leaf):
                findings.arrays.append(array.symbols)
            known[var] = array
    for var, array in known.items():
        findings.held.setdefault(var, []).append(array)
    return list(map(read, jaxpr.outvars))


def _meet(op: Operation, made: Iterable[TracedArray]) -> None:
    """Notes the operands and the outputs of what is computed from the inputs."""
    for array in () if op.runs else op.inputs:
        known = array.each if isinstance(array, Leaf) else [array.symbols]
        op.findings.met.extend(known)
    for array in made:
        if array.path is None:
            array.moves = True
            op.findings.met.append(array.symbols)


def _outputs(op: Operation) -> Sequence[TracedArray]:
    """What the rule of a primitive returns, checked; without a rule, frozen axes."""
    rule = RULES.get(op.eqn.primitive.name, lambda *_: NotImplemented)
    made = rule(op, *op.inputs)
    if made is NotImplemented:
        op.findings.unknown.append(op.reason)
        return op.opaque()
    made = list(made) if isinstance(made, list | tuple) else [made]
    shapes = [x.shape if isinstance(x, TracedArray) else type(x) for x in made]
    if shapes != op.out_shapes:
        raise ValueError(
            f"{op.reason}: its rule returned outputs of shapes {shapes}, which must be "
            f"{op.out_shapes}; return op.output(symbols), or a list, one for each output"
        )
    return made


def _needed(jaxpr: core.Jaxpr) -> list[core.JaxprEqn]:
    """The equations on which outputs or effects depend, unused outputs as `DropVar`s."""

    def arrays(atoms: Iterable[core.Var | core.Literal]) -> set[core.Var]:
        return {x for x in atoms if isinstance(x, core.Var) and not _empty(x)}

    used, found = arrays(jaxpr.outvars), []
    for eqn in reversed(jaxpr.eqns):
        acts = eqn.effects and eqn.primitive.name not in SHOWN
        if acts or not used.isdisjoint(eqn.outvars):
            outvars = [v if v in used else core.DropVar(v.aval) for v in eqn.outvars]
            found.append(eqn.replace(outvars=outvars))
            used |= arrays(eqn.invars)
    return found[::-1]


def _empty(array: core.Var) -> bool:
    return 0 in getattr(array.aval, "shape", ())
