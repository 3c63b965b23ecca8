"""The pass over a program: every equation gives terms to its outputs by its rule."""

from collections.abc import Callable, Sequence

from jax.extend import core, source_info_util

from linconn_jax.permutation.discover.values import Trace, Value, constant

Rule = Callable[..., list[Value]]
"""`rule(trace, eqn, *inputs) -> outputs`, see the modules `rules_*`."""

RULES: dict[str, Rule] = {}


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
        return constant(atom.val) if isinstance(atom, core.Literal) else known[atom]

    known.update(zip(jaxpr.constvars, constants, strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))
    outside = trace.place
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        # A library's function within has no place in the user's code but its call.
        trace.place = source_info_util.summarize(eqn.source_info) or outside
        trace.why = f"{name} at {trace.place}"
        apply = RULES.get(name, _unknown)
        outputs = apply(trace, eqn, *map(read, eqn.invars))
        for var, value in zip(eqn.outvars, outputs, strict=True):
            if value.known is not None:
                trace.see(value.known)
            known[var] = value
    trace.place = outside
    return [read(var) for var in jaxpr.outvars]


def closed(
    trace: Trace, jaxpr: core.ClosedJaxpr | core.Jaxpr, inputs: Sequence[Value]
) -> list[Value]:
    """`interpret` of a program that carries its constants, or has none."""
    if isinstance(jaxpr, core.Jaxpr):
        return interpret(trace, jaxpr, [], inputs)
    return interpret(trace, jaxpr.jaxpr, list(map(constant, jaxpr.consts)), inputs)


def _unknown(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """Nothing moves along any axis that an unknown primitive touches."""
    trace.unknown.append(trace.why)
    for value in inputs:
        trace.stay(value.terms, *range(len(value.terms)))
    return [Value(tuple(map(trace.places, v.aval.shape))) for v in eqn.outvars]
