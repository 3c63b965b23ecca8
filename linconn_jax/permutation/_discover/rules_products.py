"""Rules of products of arrays: dot_general, convolutions, gather and scatter."""

from linconn_jax.permutation._discover.axis_symbols import size, without
from linconn_jax.permutation._discover.interpret import Operation
from linconn_jax.permutation._discover.registry import rule
from linconn_jax.permutation._discover.traced_array import TracedArray
from linconn_jax.permutation._discover.unify import split


@rule("dot_general")
def dot_general(op: Operation, left: TracedArray, right: TracedArray) -> TracedArray:
    """Contracted and batch axes of the two move alike."""
    (sum_l, sum_r), (batch_l, batch_r) = op.params["dimension_numbers"]
    a, b = left.symbols, right.symbols
    batch = [op.tie(a[i], b[j]) for i, j in zip(batch_l, batch_r, strict=True)]
    summed = [op.tie(a[i], b[j]) for i, j in zip(sum_l, sum_r, strict=True)]
    free_l, free_r = without(a, *sum_l, *batch_l), without(b, *sum_r, *batch_r)
    op.name_after(left, [*free_l, *batch])
    op.name_after(right, [*free_r, *batch])
    return op.output([*batch, *free_l, *free_r], summed=summed)


@rule("conv_general_dilated")
def convolution(
    op: Operation, images: TracedArray, kernel: TracedArray
) -> TracedArray | list[TracedArray]:
    """Channels move; positions in the maps and in the kernel stay.

    With g groups the channels are a product of g groups and what is inside, and the
    inside of a group may move in its own way.
    """
    x, k, numbers = images.symbols, kernel.symbols, op.params["dimension_numbers"]
    batch, channels, *spatial = numbers.lhs_spec
    outputs, inputs, *window = numbers.rhs_spec
    groups = op.params["feature_group_count"]
    read, made = (
        split(symbol, (groups, size(symbol) // groups), op.reason)
        for symbol in (x[channels], k[outputs])
    )
    if read is None or made is None:
        return op.opaque()
    op.tie(read[1], k[inputs])
    made = (*op.tie(read[0], made[0]), *made[1])
    if op.params["batch_group_count"] != 1:
        return op.opaque()
    op.freeze(x, *spatial)
    op.freeze(k, *window)
    symbols = list(map(op.fixed, op.out_shapes[0]))
    symbols[numbers.out_spec[0]] = x[batch]
    symbols[numbers.out_spec[1]] = made
    op.name_after(kernel, [made])
    return op.output(symbols, summed=[k[i] for i in (*window, inputs)])


@rule("gather")
def gather(op: Operation, array: TracedArray, indices: TracedArray) -> TracedArray:
    """Positions that indices name stay; axes taken whole and axes of the indices move."""
    numbers, sizes = op.params["dimension_numbers"], op.params["slice_sizes"]
    x, index, shape = array.symbols, list(indices.symbols), op.in_shapes[0]
    batched = numbers.operand_batching_dims
    whole = [i for i, n in enumerate(shape) if i in batched or sizes[i] == n]
    op.freeze(x, *(i for i in range(len(shape)) if i not in whole))
    op.freeze(index, len(index) - 1)
    for i, j in zip(batched, numbers.start_indices_batching_dims, strict=True):
        index[j] = op.tie(x[i], index[j])
    gone = (*numbers.collapsed_slice_dims, *batched)
    kept = (i for i in range(len(shape)) if i not in gone)
    from_array = (x[i] if i in whole else op.fixed(sizes[i]) for i in kept)
    from_indices = iter(index[:-1])
    op.name_after(array, (x[i] for i in whole if i not in batched))
    return array.rearranged(
        next(from_array if axis in numbers.offset_dims else from_indices)
        for axis in range(len(op.out_shapes[0]))
    )


@rule("scatter scatter-add scatter-max scatter-min scatter-mul scatter-sub")
def scatter(
    op: Operation, array: TracedArray, indices: TracedArray, updates: TracedArray
) -> TracedArray:
    """Axes written whole move with those of the updates; all others stay."""
    numbers = op.params["dimension_numbers"]
    x, u = array.symbols, updates.symbols
    shape, _, written = op.in_shapes
    gone = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    kept = [i for i in range(len(shape)) if i not in gone]
    both = zip(kept, numbers.update_window_dims, strict=True)
    whole = {i: j for i, j in both if shape[i] == written[j]}
    op.freeze(x, *(i for i in range(len(x)) if i not in whole))
    op.freeze(u, *(j for j in range(len(u)) if j not in whole.values()))
    op.freeze(indices.symbols, *range(len(indices.symbols)))
    symbols = list(map(op.fixed, shape))
    for i, j in whole.items():
        symbols[i] = op.tie(x[i], u[j])
    return TracedArray(symbols)
