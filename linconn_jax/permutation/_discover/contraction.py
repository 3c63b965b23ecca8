"""Rules of products of arrays: dot_general, convolutions, gather and scatter."""

from collections.abc import Sequence

from jax.extend import core

from linconn_jax.permutation._discover.interpret import opaque, rule
from linconn_jax.permutation._discover.joining import join, split
from linconn_jax.permutation._discover.terms import Term, size
from linconn_jax.permutation._discover.values import Trace, Value


@rule("dot_general")
def dot_general(
    trace: Trace, eqn: core.JaxprEqn, left: Value, right: Value
) -> list[Value]:
    """Contracted and batch axes of the two move alike."""
    (sum_l, sum_r), (batch_l, batch_r) = eqn.params["dimension_numbers"]
    a, b = left.terms, right.terms
    batch = [join(a[i], b[j], trace.why) for i, j in zip(batch_l, batch_r, strict=True)]
    inner = [join(a[i], b[j], trace.why) for i, j in zip(sum_l, sum_r, strict=True)]
    free_l = [t for i, t in enumerate(a) if i not in (*sum_l, *batch_l)]
    free_r = [t for i, t in enumerate(b) if i not in (*sum_r, *batch_r)]
    outer = (*batch, *free_l, *free_r)
    trace.see((*outer, *inner))
    _written(trace, left, (*free_l, *batch))
    _written(trace, right, (*free_r, *batch))
    return [Value(outer)]


@rule("conv_general_dilated")
def convolution(
    trace: Trace, eqn: core.JaxprEqn, images: Value, kernel: Value
) -> list[Value]:
    """Channels move; places in the maps and in the kernel stay.

    With g groups the channels are a product of g groups and what is inside, and the
    inside of a group may move in its own way.
    """
    p, x, k = eqn.params, images.terms, kernel.terms
    numbers = p["dimension_numbers"]
    batch, channels, *places = numbers.lhs_spec
    outputs, inputs, *window = numbers.rhs_spec
    groups = p["feature_group_count"]
    made = _outputs(x[channels], k[inputs], k[outputs], groups, trace.why)
    if made is None or p["batch_group_count"] != 1:
        return opaque(trace, eqn, images, kernel)
    trace.stay(x, *places)
    trace.stay(k, *window)
    terms = list(map(trace.places, eqn.outvars[0].aval.shape))
    terms[numbers.out_spec[0]] = x[batch]
    terms[numbers.out_spec[1]] = made
    trace.see((*terms, *(k[i] for i in (*window, inputs))))
    _written(trace, kernel, (made,))
    return [Value(tuple(terms))]


def _outputs(
    channels: Term, inputs: Term, outputs: Term, groups: int, why: str
) -> Term | None:
    """The outputs, with the channels of maps and kernel tied; None if they do not fit."""
    if groups == 1:
        join(channels, inputs, why)
        return outputs
    parts = split(channels, size(channels) // groups, why)
    made = split(outputs, size(outputs) // groups, why)
    if parts is None or made is None:
        return None
    join(parts[1], inputs, why)
    return (*join(parts[0], made[0], why), *made[1])


@rule("gather")
def gather(
    trace: Trace, eqn: core.JaxprEqn, operand: Value, indices: Value
) -> list[Value]:
    """Places that indices name stay; axes taken whole and axes of the indices move."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    x, index, shape = operand.terms, list(indices.terms), eqn.invars[0].aval.shape
    out = eqn.outvars[0].aval.shape
    batched = numbers.operand_batching_dims
    whole = [i for i, n in enumerate(shape) if i in batched or sizes[i] == n]
    trace.stay(x, *(i for i in range(len(shape)) if i not in whole))
    trace.stay(index, len(index) - 1)
    for i, j in zip(batched, numbers.start_indices_batching_dims, strict=True):
        index[j] = join(x[i], index[j], trace.why)
    gone = (*numbers.collapsed_slice_dims, *batched)
    offsets = iter(i for i in range(len(shape)) if i not in gone)
    places = iter(index[:-1])
    terms: list[Term] = []
    for axis, n in enumerate(out):
        if axis in numbers.offset_dims:
            i = next(offsets)
            terms.append(x[i] if i in whole else trace.places(n))
        else:
            terms.append(next(places))
    _written(trace, operand, [x[i] for i in whole if i not in batched])
    return [operand.moved(terms)]


@rule(
    "scatter",
    "scatter-add",
    "scatter-max",
    "scatter-min",
    "scatter-mul",
    "scatter-sub",
)
def scatter(
    trace: Trace, eqn: core.JaxprEqn, operand: Value, indices: Value, updates: Value
) -> list[Value]:
    """Axes written whole move with those of the updates; all others stay."""
    numbers = eqn.params["dimension_numbers"]
    x, u = operand.terms, updates.terms
    shape = eqn.invars[0].aval.shape
    gone = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    kept = [i for i in range(len(shape)) if i not in gone]
    written = eqn.invars[2].aval.shape
    pairs = [
        (i, j)
        for i, j in zip(kept, numbers.update_window_dims, strict=True)
        if shape[i] == written[j]
    ]
    trace.stay(x, *(i for i in range(len(x)) if i not in [a for a, _ in pairs]))
    trace.stay(u, *(j for j in range(len(u)) if j not in [b for _, b in pairs]))
    trace.stay(indices.terms, *range(len(indices.terms)))
    terms = list(map(trace.places, shape))
    for i, j in pairs:
        terms[i] = join(x[i], u[j], trace.why)
    return [Value(tuple(terms))]


def _written(trace: Trace, value: Value, terms: Sequence[Term]) -> None:
    """Notes the units that a leaf brings into being, to be named after it."""
    if value.path is not None:
        trace.written.extend((value.path, term) for term in terms)
