"""Programs with all calls written out, and their evaluation with values inside.

In a program written out each variable stands for one value, wherever it is computed:
functions within functions are gone, and branches and loops have variables of their own.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from jax.extend import core, source_info_util

from linconn_jax.permutation._discover.registry import RULES
from linconn_jax.permutation._discover.rules_control import call
from linconn_jax.typing import Array

CONTROL = {
    "scan": ("jaxpr",),
    "while": ("cond_jaxpr", "body_jaxpr"),
    "cond": ("branches",),
}
"""Branches and loops, and the parameters that hold their programs."""
CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def traced(function: Callable, arrays: Sequence[Any]) -> core.ClosedJaxpr:
    """The program of a function of flat arguments (or of their shapes), written out."""
    program = jax.make_jaxpr(function)(*arrays)
    return _written_out(program)


def inner(eqn: core.JaxprEqn) -> list[core.Jaxpr]:
    """The programs inside a branch or a loop."""
    names = CONTROL.get(eqn.primitive.name, ())
    found = (eqn.params[name] for name in names)
    each = (x for one in found for x in (one if isinstance(one, tuple) else (one,)))
    return [closed.jaxpr for closed in each]


def evaluate(
    program: core.ClosedJaxpr, arguments: Iterable[Any], wanted: Iterable[core.Var]
) -> dict[core.Var, Array]:
    """The values that variables of a program written out stand for.

    Those inside of loops have the rounds as axes in front.
    """
    return _run(program, list(arguments), frozenset(wanted))[1]


def _run(
    program: core.ClosedJaxpr, arguments: list[Any], wanted: frozenset[core.Var]
) -> tuple[list[Any], dict[core.Var, Any]]:
    found: dict[core.Var, Any] = {}

    def step(eqn: core.JaxprEqn, operands: list[Any]) -> list[Any]:
        if eqn.primitive.name == "scan" and wanted & _variables(inner(eqn)[0]):
            outputs, more = _scanned(eqn, operands, wanted)
            found.update(more)
            return outputs
        return _bound(eqn, operands, eqn.params)

    outputs, known = _evaluated(program, arguments, step)
    return outputs, found | {v: known[v] for v in wanted if v in known}


def _scanned(
    eqn: core.JaxprEqn, operands: list[Any], wanted: frozenset[core.Var]
) -> tuple[list[Any], dict[core.Var, Any]]:
    p = eqn.params
    n_constants, n_carried = p["num_consts"], p["num_carry"]
    constants, rest = operands[:n_constants], operands[n_constants:]

    def body(carried: list[Any], slices: list[Any]) -> tuple[list[Any], Any]:
        outputs, found = _run(p["jaxpr"], [*constants, *carried, *slices], wanted)
        names.append(list(found))
        return outputs[:n_carried], (outputs[n_carried:], list(found.values()))

    names: list[list[core.Var]] = []
    start, slices = rest[:n_carried], rest[n_carried:]
    options = {x: p[x] for x in ("length", "reverse", "unroll")}
    carried, (stacked, values) = jax.lax.scan(body, start, slices, **options)
    return [*carried, *stacked], dict(zip(names[-1], values, strict=True))


@functools.lru_cache(maxsize=1024)
def _variables(jaxpr: core.Jaxpr) -> frozenset[core.Var]:
    """All that is computed in a program, loops inside it included."""
    found = {v for eqn in jaxpr.eqns for v in eqn.outvars}
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "scan":
            found |= _variables(inner(eqn)[0])
    return frozenset(found)


def _written_out(program: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """The program without calls, all of its variables new."""

    def step(eqn: core.JaxprEqn, operands: list[Any]) -> list[Any]:
        name = eqn.primitive.name
        if RULES.get(name) is call:
            called = next(eqn.params[x] for x in CALLED if x in eqn.params)
            if isinstance(called, core.Jaxpr):
                called = core.ClosedJaxpr(called, ())
            return _evaluated(called, operands, step)[0]
        new = {x: _each_written_out(eqn.params[x]) for x in CONTROL.get(name, ())}
        return _bound(eqn, operands, eqn.params | new)

    def function(*arguments: Any) -> list[Any]:
        return _evaluated(program, list(arguments), step)[0]

    return jax.make_jaxpr(function)(
        *(
            jax.ShapeDtypeStruct(x.shape, x.dtype, weak_type=x.weak_type)
            if hasattr(x, "weak_type")
            else x
            for x in program.in_avals
        )
    )


def _each_written_out(programs: Any) -> Any:
    if isinstance(programs, tuple):
        return tuple(map(_written_out, programs))
    return _written_out(programs)


def _evaluated(
    program: core.ClosedJaxpr,
    arguments: list[Any],
    step: Callable[[core.JaxprEqn, list[Any]], list[Any]],
) -> tuple[list[Any], dict[core.Var, Any]]:
    """The outputs of a program, each equation done by `step`, and all values."""
    jaxpr = program.jaxpr
    known = dict(zip(jaxpr.constvars, program.consts, strict=True))
    known |= zip(jaxpr.invars, arguments, strict=True)

    def read(atom: core.Var | core.Literal) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for eqn in jaxpr.eqns:
        with source_info_util.user_context(eqn.source_info.traceback):
            made = step(eqn, [read(x) for x in eqn.invars])
        known |= zip(eqn.outvars, made, strict=True)
    return [read(x) for x in jaxpr.outvars], known


def _bound(
    eqn: core.JaxprEqn, operands: list[Any], params: Mapping[str, Any]
) -> list[Any]:
    """The outputs of one equation, with these parameters."""
    found = eqn.primitive.get_bind_params(dict(params))
    # Up to JAX 0.9 with functions that come before the operands.
    functions, options = found if isinstance(found, tuple) else ((), found)
    made = eqn.primitive.bind(*functions, *operands, **options)
    return list(made) if eqn.primitive.multiple_results else [made]
