"""Rules that are one expression, and those of primitives that reduce or sort an axis."""

import jax.numpy as jnp
from jax.extend import core

from linconn_jax.permutation._discover.axis_symbols import Symbol, without
from linconn_jax.permutation._discover.interpret import Operation
from linconn_jax.permutation._discover.registry import rule
from linconn_jax.permutation._discover.traced_array import TracedArray

ELEMENTWISE = """
abs add add_any ceil clamp div floor integer_pow max min mul mulhi neg nextafter pow rem
round rsqrt sign sqrt cbrt square sub
acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cos cosh digamma erf erf_inv
erfc exp exp2 expm1 igamma igammac lgamma log log1p logistic polygamma
regularized_incomplete_beta sin sinh stop_gradient tan tanh zeta
and eq eq_to ge gt is_finite le le_to lt lt_to ne not or population_count select_n
shift_left shift_right_arithmetic shift_right_logical xor clz
complex conj convert_element_type copy copy_p imag name real reduce_precision
"""

ONE_EXPRESSION = {
    # Axes in another order; without some of length 1; copies one after the other.
    "transpose": lambda op, x: x.rearranged(
        x.symbols[i] for i in op.params["permutation"]
    ),
    "squeeze": lambda op, x: x.rearranged(without(x.symbols, *op.params["dimensions"])),
    "tile": lambda op, x: x.rearranged(
        (*op.uniform(n), *s) for n, s in zip(op.params["reps"], x.symbols, strict=True)
    ),
    # The arrays themselves. A cast to another width makes numbers fall apart.
    "optimization_barrier device_put sharding_constraint pvary reshard": (
        lambda op, *arrays: list(arrays)
    ),
    "bitcast_convert_type": (
        lambda op, x: x if op.out_shapes == op.in_shapes else op.opaque()
    ),
    # Each position depends on those before it, or on others along the axis.
    "cumsum cumprod cummax cummin cumlogsumexp": (
        lambda op, x: op.mix(x, [int(op.params["axis"])])
    ),
    "rev": lambda op, x: op.mix(x, op.params["dimensions"]),
    "fft": lambda op, x: op.mix(
        x, range(len(x.shape))[-len(op.params["fft_lengths"]) :]
    ),
    # Random numbers differ from place to place.
    "random_bits random_fold_in random_gamma random_seed random_split random_unwrap "
    "random_wrap rng_bit_generator threefry2x32": lambda op, *_: op.opaque(),
    # Numbers yet to come, and the number of the platform.
    "empty empty2 platform_index": (
        lambda op: TracedArray(map(op.uniform, op.out_shapes[0]))
    ),
}
for _names, _rule in ONE_EXPRESSION.items():
    rule(_names)(_rule)


@rule(ELEMENTWISE)
def elementwise(op: Operation, *inputs: TracedArray) -> TracedArray:
    """Arrays of one shape, and scalars, combined element by element."""
    arrays = [array for array in inputs if array.shape]
    if len(arrays) > 1:
        return TracedArray(op.tie_axes(array.symbols for array in arrays))
    # A leaf, or a slice of one, scaled or cast is a leaf still.
    return arrays[0] if arrays else TracedArray(())


@rule("psum pmax pmin")
@rule("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor")
def reduction(op: Operation, *inputs: TracedArray) -> list[TracedArray]:
    """The order of the units that are reduced does not matter.

    `psum` and the like reduce over all examples under a `vmap`.
    """
    for array in inputs:
        op.holds(array.symbols)
    return [TracedArray(without(x.symbols, *op.params["axes"])) for x in inputs]


@rule("argmax argmin")
def position(op: Operation, array: TracedArray) -> list[TracedArray]:
    """The result is a position, so the units must stay."""
    op.freeze(array.symbols, *op.params["axes"])
    return reduction(op, array)


@rule("reduce_window_sum reduce_window_max reduce_window_min")
def window(op: Operation, array: TracedArray) -> TracedArray:
    """Pooling: axes with windows of length 1 move, the positions of the others stay."""
    names = ("window_dimensions", "window_strides", "padding", "base_dilation")
    each = enumerate(zip(*(op.params[name] for name in names), strict=True))
    pooled = [i for i, (n, step, p, d) in each if (n, step, *p, d) != (1, 1, 0, 0, 1)]
    return op.mix(array, pooled)


@rule("sort")
def sort(op: Operation, *inputs: TracedArray) -> list[TracedArray]:
    """One array of integers sorted is the same for every order.

    Others must keep step with it, and of floats 0.0 and -0.0 stay in the order in which
    they came.
    """
    axis = int(op.params["dimension"])
    exact = jnp.issubdtype(op.eqn.invars[0].aval.dtype, jnp.integer)
    if len(inputs) > 1 or not exact:
        for array in inputs:
            op.freeze(array.symbols, axis)
    symbols = op.tie_axes(array.symbols for array in inputs)
    return [_ordered(op, symbols, axis)] * len(inputs)


@rule("top_k")
def top_k(op: Operation, array: TracedArray) -> list[TracedArray]:
    """The largest, as of a sorted array; where they were, if that is asked, must stay."""
    axis = op.params.get("axis", -1) % len(array.shape)
    if not isinstance(op.eqn.outvars[1], core.DropVar):
        op.freeze(array.symbols, axis)
    return [_ordered(op, array.symbols, axis)] * 2


def _ordered(op: Operation, symbols: tuple[Symbol, ...], axis: int) -> TracedArray:
    """An array in the order of its values along an axis, whatever order it had."""
    op.holds(symbols)
    op.holds(without(symbols, axis))
    ordered = op.fixed(op.out_shapes[0][axis])
    return TracedArray((*symbols[:axis], ordered, *symbols[axis + 1 :]))


@rule("iota")
def iota(op: Operation, *_: TracedArray) -> TracedArray:
    """Numbers along one axis, equal along the others."""
    axes, along = enumerate(op.out_shapes[0]), op.params["dimension"]
    return TracedArray(op.fixed(n) if i == along else op.uniform(n) for i, n in axes)
