"""Rules of primitives that hold programs: calls, branches and loops."""

from collections.abc import Sequence

from jax.extend import core

from linconn_jax.permutation._discover.interpret import closed, rule
from linconn_jax.permutation._discover.terms import Term, atom, size
from linconn_jax.permutation._discover.values import Trace, Value

_PROGRAM = ("jaxpr", "call_jaxpr", "fun_jaxpr")


@rule(
    "jit",
    "call",
    "closed_call",
    "composite",
    "remat2",
    "custom_jvp_call",
    "custom_vjp_call",
)
def call(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """A function within the function; of one with its own derivative, the function."""
    program = next(eqn.params[name] for name in _PROGRAM if name in eqn.params)
    return closed(trace, program, inputs)


@rule("platform_index")
def platform(trace: Trace, eqn: core.JaxprEqn) -> list[Value]:
    """A number that tells the platform."""
    return [Value(())]


@rule("cond")
def cond(trace: Trace, eqn: core.JaxprEqn, index: Value, *inputs: Value) -> list[Value]:
    """All branches hold: what any of them ties is tied."""
    branches = [closed(trace, branch, inputs) for branch in eqn.params["branches"]]
    return [
        Value(trace.join([value.terms for value in values]))
        for values in zip(*branches, strict=True)
    ]


@rule("while")
def while_(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """What is carried moves alike before and after each round."""
    p = eqn.params
    test, body = p["cond_nconsts"], p["body_nconsts"]
    of_test, of_body = inputs[:test], inputs[test : test + body]
    carried = _carried(trace, inputs[test + body :])
    closed(trace, p["cond_jaxpr"], (*of_test, *carried))
    after = closed(trace, p["body_jaxpr"], (*of_body, *carried))
    return _joined(trace, carried, after)


@rule("scan")
def scan(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """A loop over slices.

    Where leaves of the variables are sliced (stacked layers) the loop is written out, so
    that each slice has units of its own; else one round stands for all.
    """
    p = eqn.params
    first = p["num_consts"] + p["num_carry"]
    constants, sliced = inputs[: p["num_consts"]], inputs[first:]
    carried = list(inputs[p["num_consts"] : first])
    rounds = list(range(p["length"])[:: -1 if p["reverse"] else 1])
    if any(v.leaf is not None and v.leaf.can_be_taken_apart() for v in sliced):
        made = []
        for index in rounds:
            now = [_slice(trace, value, index) for value in sliced]
            out = closed(trace, p["jaxpr"], (*constants, *carried, *now))
            carried = out[: p["num_carry"]]
            made.append(out[p["num_carry"] :])
    else:
        carried = _carried(trace, carried)
        now = [_slice(trace, value, 0) for value in sliced]
        out = closed(trace, p["jaxpr"], (*constants, *carried, *now))
        carried = _joined(trace, carried, out[: p["num_carry"]])
        made = [out[p["num_carry"] :]]
    return [*carried, *_stacked(trace, p["length"], made)]


def _slice(trace: Trace, value: Value, index: int) -> Value:
    """`value[index]` of what a scan loops over."""
    if value.leaf is not None and value.leaf.can_be_taken_apart():
        piece = value.leaf.slice(index)
        trace.see(piece.terms)
        return piece
    trace.stay(value.terms, 0)
    return value.moved(value.terms[1:])


def _stacked(
    trace: Trace, length: int, rounds: Sequence[Sequence[Value]]
) -> list[Value]:
    """What the rounds put out, stacked: it moves alike in all of them."""
    joined = [
        trace.join([value.terms for value in made])
        for made in zip(*rounds, strict=True)
    ]
    return [Value((trace.places(length), *terms)) for terms in joined]


def _carried(trace: Trace, values: Sequence[Value]) -> list[Value]:
    """New atoms for what is carried, joined with where it starts.

    A start that is wild (zeros) says nothing of what comes after.
    """
    found = []
    for value in values:
        fresh: tuple[Term, ...] = tuple(atom(size(term)) for term in value.terms)
        trace.join([fresh, value.terms])
        found.append(Value(fresh))
    return found


def _joined(
    trace: Trace, before: Sequence[Value], after: Sequence[Value]
) -> list[Value]:
    return [
        Value(trace.join([a.terms, b.terms]))
        for a, b in zip(before, after, strict=True)
    ]
