"""The pass over a program: every equation gives terms to its outputs by its rule."""

from collections.abc import Callable, Sequence

from jax.extend import core, source_info_util

from linconn_jax.permutation._discover.terms import wild
from linconn_jax.permutation._discover.values import Trace, Value, constant

Rule = Callable[..., list[Value]]
"""`rule(trace, eqn, *inputs) -> outputs`; `elementwise`, `layout`, `slicing`,
`contraction` and `control` register theirs."""

RULES: dict[str, Rule] = {}
SHOWN = ("debug_callback", "debug_print")
"""Primitives that only show what they are given."""


def rule(*primitives: str) -> Callable[[Rule], Rule]:
    """Registers a rule for primitives, by name."""

    def register(function: Rule) -> Rule:
        for name in primitives:
            RULES[name] = function
        return function

    return register


def interpret(
    trace: Trace, jaxpr: core.Jaxpr, constants: Sequence[Value], inputs: Sequence[Value]
) -> list[Value]:
    """Terms of the outputs of a program from those of its inputs."""
    known: dict[core.Var, Value] = {}

    def read(atom: core.Var | core.Literal) -> Value:
        if isinstance(atom, core.Literal):
            return constant(atom.val)
        return Value(tuple(map(wild, atom.aval.shape))) if _empty(atom) else known[atom]

    used = _used(jaxpr)
    known.update(zip(jaxpr.constvars, constants, strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))
    outside = trace.place, trace.why
    for eqn in jaxpr.eqns:
        if not _matters(eqn, used):
            continue
        made = [v if v in used else core.DropVar(v.aval) for v in eqn.outvars]
        eqn, name = eqn.replace(outvars=made), eqn.primitive.name
        # A library's function within has no place in the user's code but its call.
        trace.place = source_info_util.summarize(eqn.source_info) or outside[0]
        trace.why = f"{name} at {trace.place}"
        apply = RULES.get(name, _unknown)
        outputs = apply(trace, eqn, *map(read, eqn.invars))
        for var, value in zip(eqn.outvars, outputs, strict=True):
            if value.known is not None:
                trace.see(value.known)
            known[var] = value
    trace.place, trace.why = outside
    return [read(var) for var in jaxpr.outvars]


def _used(jaxpr: core.Jaxpr) -> set[core.Var]:
    """The arrays on which outputs or effects depend; one without elements is none."""
    used: set[core.Var] = set()

    def use(atoms: Sequence[core.Var | core.Literal]) -> None:
        used.update(x for x in atoms if isinstance(x, core.Var) and not _empty(x))

    use(jaxpr.outvars)
    for eqn in reversed(jaxpr.eqns):
        if _matters(eqn, used):
            use(eqn.invars)
    return used


def _matters(eqn: core.JaxprEqn, used: set[core.Var]) -> bool:
    acts = eqn.effects and eqn.primitive.name not in SHOWN
    return bool(acts) or not used.isdisjoint(eqn.outvars)


def _empty(array: core.Var) -> bool:
    return 0 in getattr(array.aval, "shape", ())


def closed(
    trace: Trace, jaxpr: core.ClosedJaxpr | core.Jaxpr, inputs: Sequence[Value]
) -> list[Value]:
    """`interpret` of a program that carries its constants, or has none."""
    if isinstance(jaxpr, core.Jaxpr):
        return interpret(trace, jaxpr, [], inputs)
    return interpret(trace, jaxpr.jaxpr, list(map(constant, jaxpr.consts)), inputs)


def opaque(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """Nothing moves along any axis of what comes in or goes out."""
    for value in inputs:
        trace.stay(value.terms, *range(len(value.terms)))
    return [Value(tuple(map(trace.places, v.aval.shape))) for v in eqn.outvars]


def _unknown(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """Nothing is known of the primitive, so nothing moves that it touches."""
    trace.unknown.append(trace.why)
    return opaque(trace, eqn, *inputs)
