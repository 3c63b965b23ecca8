"""Rules of primitives that hold programs: calls, branches and loops."""

from collections.abc import Sequence

from linconn_jax.permutation._discover.axis_symbols import units
from linconn_jax.permutation._discover.interpret import Operation
from linconn_jax.permutation._discover.registry import rule
from linconn_jax.permutation._discover.traced_array import Leaf, TracedArray


@rule("jit call closed_call composite remat2 custom_jvp_call custom_vjp_call")
def call(op: Operation, *inputs: TracedArray) -> list[TracedArray]:
    """A function within the function; of one with its own derivative, the function."""
    names = ("jaxpr", "call_jaxpr", "fun_jaxpr")
    return op.run(next(op.params[x] for x in names if x in op.params), inputs)


@rule("cond")
def cond(op: Operation, index: TracedArray, *inputs: TracedArray) -> list[TracedArray]:
    """All branches hold: what any of them ties is tied."""
    return _tied(op, *(op.run(branch, inputs) for branch in op.params["branches"]))


@rule("while")
def while_(op: Operation, *inputs: TracedArray) -> list[TracedArray]:
    """What is carried moves alike before and after each round."""
    p = op.params
    test, body = p["cond_nconsts"], p["body_nconsts"]
    of_test, of_body = inputs[:test], inputs[test : test + body]
    carried = _carried(op, inputs[test + body :])
    op.run(p["cond_jaxpr"], (*of_test, *carried))
    return _tied(op, carried, op.run(p["body_jaxpr"], (*of_body, *carried)))


@rule("scan")
def scan(op: Operation, *inputs: TracedArray) -> list[TracedArray]:
    """A loop over slices.

    Where leaves of the variables are sliced (stacked layers) the loop is written out, so
    that each slice has units of its own; else one round stands for all.
    """
    p = op.params
    n_constants, n_carried, length = p["num_consts"], p["num_carry"], p["length"]
    constants, sliced = inputs[:n_constants], inputs[n_constants + n_carried :]
    carried = list(inputs[n_constants : n_constants + n_carried])
    written_out = any(isinstance(x, Leaf) and x.has_slices() for x in sliced)
    if not written_out:
        carried = _carried(op, carried)
    rounds = range(length)[:: -1 if p["reverse"] else 1] if written_out else [0]
    stacked = []
    for index in rounds:
        slices = [_slice(op, array, index) for array in sliced]
        made = op.run(p["jaxpr"], (*constants, *carried, *slices))
        after = made[:n_carried]
        carried = after if written_out else _tied(op, carried, after)
        stacked.append(made[n_carried:])
    # What the rounds put out, one after the other, moves alike in all of them.
    outputs = _tied(op, *stacked)
    return [
        *carried,
        *(TracedArray((op.fixed(length), *array.symbols)) for array in outputs),
    ]


def _slice(op: Operation, array: TracedArray, index: int) -> TracedArray:
    """`array[index]` of what a scan loops over."""
    if isinstance(array, Leaf) and array.has_slices():
        one = array.slice(index)
        op.holds(one.symbols)
        return one
    op.freeze(array.symbols, 0)
    return array.rearranged(array.symbols[1:])


def _carried(op: Operation, arrays: Sequence[TracedArray]) -> list[TracedArray]:
    """New nodes for what is carried, tied to where it starts.

    A start that is uniform (zeros) says nothing of what comes after.
    """
    fresh = [TracedArray(map(units, array.shape)) for array in arrays]
    _tied(op, fresh, arrays)
    return fresh


def _tied(op: Operation, *rounds: Sequence[TracedArray]) -> list[TracedArray]:
    """The outputs of several branches or rounds, which move alike in all of them."""
    return [
        TracedArray(op.tie_axes(array.symbols for array in each))
        for each in zip(*rounds, strict=True)
    ]
