"""Programs that discovery once got wrong, failed on or saw too little in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import permutation
from linconn_jax.permutation import Axes, Units

HIDDEN = {"a": Axes(None, Units("a", 6)), "b": Axes(Units("a", 6), None)}
STAY = {"a": Axes(None, None), "b": Axes(None, None)}
SHAPES = {"a": (3, 6), "b": (6, 2)}


def found(apply, shapes, *inputs):
    struct = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
        (shapes, inputs),
        is_leaf=lambda x: isinstance(x, tuple) and all(isinstance(n, int) for n in x),
    )
    return permutation.discover(apply, struct[0], *struct[1])


def between(function, **more):
    """The spec of two layers with the function of the 6 hidden units between them."""

    def apply(v, x):
        return function(jnp.tanh(x @ v["a"]), v) @ v["b"]

    return found(apply, SHAPES | more, (4, 3))


@pytest.mark.parametrize("mode", ["edge", "wrap", "reflect", "mean", "linear_ramp"])
def test_padding_of_other_axes_cuts_off_nothing(mode):
    """It cuts empty parts off the units, and puts them back."""
    spec = between(lambda h, v: jnp.pad(h, ((1, 1), (0, 0)), mode=mode)[1:-1])
    assert spec == HIDDEN


def test_an_empty_part_is_none():
    assert between(lambda h, v: jnp.concatenate([h, h[:, :0]], axis=1) + h) == HIDDEN
    spec = between(
        lambda h, v: jnp.concatenate([h, h @ v["none"]], axis=1) + h, none=(6, 0)
    )
    assert spec == HIDDEN | {"none": Axes(None, None)}
    spec = between(lambda h, v: sum(jnp.split(h, [6], axis=1)[:1]))
    assert spec == HIDDEN


def test_a_stack_of_no_layers():
    def layers(h, v):
        h, sums = jax.lax.scan(lambda h, w: (h @ w, h.sum()), h, v["w"])
        return h + sums.sum()

    spec = between(layers, w=(0, 6, 6))
    assert spec == HIDDEN | {"w": Axes(None, None, None)}


def test_variables_without_elements_are_permuted():
    spec = {"w": Axes(None, "units"), "b": Axes("units")}
    variables = {"w": jnp.zeros((0, 4)), "b": jnp.arange(4)}
    p = permutation.from_indices(spec, variables, {"units": [3, 2, 1, 0]})
    moved = permutation.permute(spec, p, variables)
    assert moved["w"].shape == (0, 4)
    np.testing.assert_array_equal(moved["b"], [3, 2, 1, 0])


@pytest.mark.parametrize("units", [6, 600])
def test_units_added_to_the_next_ones_stay(units):
    def apply(v, x):
        h = x @ v["a"]
        return (h + jnp.roll(h, 1, axis=1)) @ v["b"]

    assert found(apply, {"a": (3, units), "b": (units, 2)}, (4, 3)) == STAY


def test_concatenations_of_concatenations():
    """As deep as DenseNet-264, and deeper than parts of parts are cut."""
    layers = 80

    def apply(v, x):
        h = x @ v["first"]
        for kernel in v["layers"]:
            h = jnp.concatenate([h, jnp.tanh(h @ kernel)], axis=1)
        return h @ v["last"]

    kernels = [(4 + 2 * i, 2) for i in range(layers)]
    last = (4 + 2 * layers, 2)
    shapes = {"first": (3, 4), "layers": kernels, "last": last}
    spec = found(apply, shapes, (4, 3))
    assert set(permutation.parents(spec)) == {
        "first",
        *(f"layers/{i}" for i in range(layers)),
    }


def test_parents_stand_with_the_outermost_first_however_young():
    def apply(v, x):
        h = jnp.tanh(v["p"] + v["r"])
        return x * (h * jnp.cos(v["q"])[None, :, None]).sum() + jnp.sin(v["q"]).sum()

    shapes = {"p": (2, 3, 4), "r": (2, 3, 4), "q": (3,)}
    spec = found(apply, shapes, (5,))
    outer = Units("p/2", 3)
    middle = Units("p", 2, under="p/2")
    inner = Units("p/inside", 4, under=("p/2", "p"))
    assert spec["p"] == Axes(middle, outer, inner)
    assert permutation.sizes(
        spec, {name: jnp.zeros(shape) for name, shape in shapes.items()}
    ) == {"p": 2, "p/2": 3, "p/inside": 4}


def test_noise_alike_for_all_units():
    key = jax.random.key(0)
    assert between(lambda h, v: h * jax.random.normal(key, (4, 1))) == HIDDEN


def test_within_another_traced_function():
    @jax.jit
    def outer(scales):
        assert between(lambda h, v: h * scales[None]) == STAY
        assert between(lambda h, v: h * scales.sum()) == HIDDEN
        return scales

    outer(jnp.ones(6))


def test_constants_that_are_not_a_number_are_alike():
    missing = np.full((1, 6), np.nan, np.float32)
    assert between(lambda h, v: jnp.where(h > 0, h, missing)) == HIDDEN


def test_what_is_printed_may_be_anything():
    def shown(h, v):
        jax.debug.print("{}", h[0, 0])
        return h

    assert between(shown) == HIDDEN


def test_what_no_output_depends_on_ties_nothing():
    def idle(h, v):
        _ = jnp.cumsum(h, axis=1) + h[:, ::-1]
        return h

    assert between(idle) == HIDDEN


def test_what_is_written_to_a_reference_is_used():
    def stored(h, v):
        ref = jax.new_ref(jnp.zeros_like(h))
        ref[...] = jnp.cumsum(h, axis=1)
        return ref[...] * h.sum(axis=1, keepdims=True)

    with pytest.warns(UserWarning, match="no rule for the primitives"):
        assert between(stored) == STAY


def test_the_largest_without_their_places():
    def gated(h, v):
        return jnp.where(h >= jax.lax.top_k(h, 2)[0][:, -1:], h, 0)

    def placed(h, v):
        values, places = jax.lax.top_k(h, 2)
        return h * values[:, -1:] * places.sum().astype(h.dtype)

    assert between(gated) == HIDDEN
    assert between(placed) == STAY


def test_fourier_transform_of_other_axes():
    def mixed(axis):
        return lambda h, v: jnp.fft.rfft(h, n=4, axis=axis).real.sum(0, keepdims=True)

    assert between(mixed(0)) == HIDDEN
    spec = between(lambda h, v: jnp.fft.fft(h, axis=1).real)
    assert spec == STAY


def test_a_mean_over_all_examples_under_vmap():
    """Batch norms of Equinox say what they need to one another."""

    def apply(v, x):
        def one(x):
            h = x @ v["a"]
            h = h - jax.lax.pmean(h, "examples")
            return h / jax.lax.pmax(h, "examples") @ v["b"]

        return jax.vmap(one, axis_name="examples")(x)

    assert found(apply, SHAPES, (4, 3)) == HIDDEN


def test_variables_that_are_one_array():
    spec = permutation.discover(
        lambda v, x: jnp.tanh(x @ v).sum(-1), jnp.zeros((3, 6)), jnp.zeros((4, 3))
    )
    assert spec == Axes(None, Units("units", 6))
