"""Rules of primitives that work on each element, and of those that reduce an axis."""

import jax.numpy as jnp
from jax.extend import core

from linconn_jax.permutation._discover.interpret import opaque, rule
from linconn_jax.permutation._discover.values import Trace, Value

_ARITHMETIC = (
    "abs add add_any ceil clamp div floor integer_pow max min mul mulhi neg nextafter "
    "pow rem round rsqrt sign sqrt cbrt square sub"
)
_FUNCTIONS = (
    "acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cos cosh digamma erf "
    "erf_inv erfc exp exp2 expm1 igamma igammac lgamma log log1p logistic polygamma "
    "regularized_incomplete_beta sin sinh tan tanh zeta"
)
_COMPARISONS = (
    "and eq eq_to ge gt is_finite le le_to lt lt_to ne not or population_count select_n "
    "shift_left shift_right_arithmetic shift_right_logical xor clz"
)
_CASTS = (
    "complex conj convert_element_type copy copy_p imag name real reduce_precision "
    "stop_gradient"
)
ELEMENTWISE = " ".join((_ARITHMETIC, _FUNCTIONS, _COMPARISONS, _CASTS)).split()


@rule(*ELEMENTWISE)
def elementwise(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """Arrays of one shape, and scalars, combined element by element."""
    arrays = [value for value in inputs if value.ndim]
    if len(arrays) == 1:
        # A leaf, or a slice of one, scaled or cast is a leaf still.
        return [arrays[0]]
    if not arrays:
        return [Value(())]
    return [Value(trace.join([value.terms for value in arrays]))]


@rule("bitcast_convert_type")
def bitcast(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Of one width, a cast; else numbers fall apart along a new axis."""
    same = eqn.outvars[0].aval.shape == eqn.invars[0].aval.shape
    return [value] if same else opaque(trace, eqn, value)


@rule("optimization_barrier", "device_put", "sharding_constraint", "pvary", "reshard")
def unchanged(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """As many outputs as inputs, each the input itself."""
    return list(inputs)


@rule(
    "reduce_sum",
    "reduce_max",
    "reduce_min",
    "reduce_prod",
    "reduce_and",
    "reduce_or",
    "reduce_xor",
)
def reduction(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """The order of the units that are reduced does not matter."""
    gone = eqn.params["axes"]
    trace.see(value.terms)
    return [Value(tuple(t for i, t in enumerate(value.terms) if i not in gone))]


@rule("psum", "pmax", "pmin")
def over_examples(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """What a function says to the others under the same `vmap`: reductions."""
    return [reduction(trace, eqn, value)[0] for value in inputs]


@rule("argmax", "argmin")
def place_of(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """The result is a place, so the places must stay."""
    trace.stay(value.terms, *eqn.params["axes"])
    return reduction(trace, eqn, value)


@rule("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
def cumulative(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Each place depends on those before it."""
    axes = [int(eqn.params["axis"])]
    return [Value(trace.mixed(value.terms, axes, eqn.outvars[0].aval.shape))]


@rule("sort")
def sort(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """One array of integers sorted is the same for every order.

    Others must keep step with it, and of floats 0.0 and -0.0 stay in the order in which
    they came.
    """
    axis = int(eqn.params["dimension"])
    exact = jnp.issubdtype(eqn.invars[0].aval.dtype, jnp.integer)
    if len(inputs) > 1 or not exact:
        for value in inputs:
            trace.stay(value.terms, axis)
    terms = list(trace.join([value.terms for value in inputs]))
    trace.see(terms)
    trace.see(t for i, t in enumerate(terms) if i != axis)
    terms[axis] = trace.places(eqn.outvars[0].aval.shape[axis])
    return [Value(tuple(terms)) for _ in inputs]


@rule("top_k")
def top_k(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """The largest, as of a sorted array; where they were, if that is asked, must stay."""
    terms = list(value.terms)
    axis = eqn.params.get("axis", len(terms) - 1) % len(terms)
    if isinstance(eqn.outvars[1], core.DropVar):
        trace.see(terms)
        trace.see(t for i, t in enumerate(terms) if i != axis)
    else:
        trace.stay(terms, axis)
    terms[axis] = trace.places(eqn.outvars[0].aval.shape[axis])
    return [Value(tuple(terms))] * len(eqn.outvars)


@rule("fft")
def fft(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Mixes the places of the last axes; the others are examples or channels."""
    axes = range(value.ndim - len(eqn.params["fft_lengths"]), value.ndim)
    return [Value(trace.mixed(value.terms, axes, eqn.outvars[0].aval.shape))]


@rule(
    "reduce_window_sum",
    "reduce_window_max",
    "reduce_window_min",
)
def window(trace: Trace, eqn: core.JaxprEqn, value: Value) -> list[Value]:
    """Pooling: axes with windows of length 1 move, the places of the others stay."""
    p = eqn.params
    each = zip(
        p["window_dimensions"],
        p["window_strides"],
        p["padding"],
        p["base_dilation"],
        strict=True,
    )
    pooled = [
        axis
        for axis, (size, stride, padding, dilation) in enumerate(each)
        if (size, stride, tuple(padding), dilation) != (1, 1, (0, 0), 1)
    ]
    return [Value(trace.mixed(value.terms, pooled, eqn.outvars[0].aval.shape))]


@rule(
    "random_bits",
    "random_fold_in",
    "random_gamma",
    "random_seed",
    "random_split",
    "random_unwrap",
    "random_wrap",
    "rng_bit_generator",
    "threefry2x32",
)
def noise(trace: Trace, eqn: core.JaxprEqn, *inputs: Value) -> list[Value]:
    """Random numbers differ from place to place."""
    return opaque(trace, eqn, *inputs)
