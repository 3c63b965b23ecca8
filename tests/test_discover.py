"""Discovery: names, reasons, structure by structure; random programs; what is refused."""

import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mixed_programs import Mixed
from naive_permute import permute, random_indices, units
from random_programs import Program

from linconn_jax import models
from linconn_jax.permutation import Axes, Block, Concat, Fixed, Stacked, Units
from linconn_jax.permutation._discover import discover, discovery, examine


def zeros(**shapes):
    return {name: jnp.zeros(shape) for name, shape in shapes.items()}


def found(apply, variables, *shape):
    return discover(apply, variables, jax.ShapeDtypeStruct(shape, jnp.float32))


def test_a_plain_function_over_a_list():
    def apply(layers, x):
        (w, b), (v,) = layers
        return jnp.tanh(x @ w + b[None]) @ v

    spec = found(apply, [(jnp.zeros((3, 5)), jnp.zeros(5)), (jnp.zeros((5, 2)),)], 4, 3)
    hidden = Units("0/0", 5)
    assert spec == [(Axes(None, hidden), Axes(hidden)), (Axes(hidden, None),)]


def test_the_worked_example_of_the_module_is_what_happens():
    def apply(v, x):
        h = jnp.tanh(x @ v["in"] + v["bias"][None])
        return h @ v["out"]

    variables = {"in": (3, 5), "bias": (5,), "out": (5, 2)}
    variables = {name: jnp.zeros(shape) for name, shape in variables.items()}
    program = jax.make_jaxpr(apply)(variables, jnp.zeros((4, 3)))
    equations = [
        (str(eqn.outvars[0].aval.shape), eqn.primitive.name, len(eqn.invars))
        for eqn in program.jaxpr.eqns
    ]
    told = [
        (f"({shape.replace(',', ', ')})", name, len(inputs.split()))
        for shape, name, inputs in re.findall(
            r"    \w:f32\[([\d,]+)\] = (\w+)(?:\[\.\.\])?((?: \w)+)   ",
            discovery.__doc__,
        )
    ]
    assert told == equations
    spec = str(found(apply, variables, 4, 3)).replace("'", '"')
    assert spec in discovery.__doc__


@pytest.mark.parametrize("order", ["NHWC", "NCHW"])
def test_a_flattened_map_is_a_block(order):
    def apply(v, x):
        numbers = (order, "HWIO", order)
        h = jax.lax.conv_general_dilated(
            x, v["conv"], (1, 1), "SAME", None, None, numbers
        )
        return jnp.tanh(h).reshape(len(x), -1) @ v["head"]

    shape = (2, 4, 6, 3) if order == "NHWC" else (2, 3, 4, 6)
    spec = found(apply, zeros(conv=(3, 3, 3, 5), head=(4 * 6 * 5, 2)), *shape)
    conv = Units("conv", 5)
    flat = Block(24, conv) if order == "NHWC" else Block(conv, 24)
    assert spec == {"conv": Axes(None, None, None, conv), "head": Axes(flat, None)}


def test_parts_side_by_side():
    def apply(v, x):
        a = jnp.tanh(x @ v["a"])
        b = jnp.tanh(jnp.concatenate([a, x], axis=1) @ v["b"])
        return jnp.concatenate([b, a], axis=1) @ v["head"]

    spec = found(apply, zeros(a=(3, 5), b=(8, 4), head=(9, 2)), 6, 3)
    a, b = Units("a", 5), Units("b", 4)
    assert spec["b"] == Axes(Concat(a, 3), b)
    assert spec["head"] == Axes(Concat(b, a), None)


def test_heads_nest_what_is_inside_them():
    def apply(v, x):
        n = len(x)
        q, k, u = (jnp.reshape(x @ v[name], (n, 2, 3)) for name in "qku")
        scores = jax.nn.softmax(jnp.einsum("nhd,mhd->hnm", q, k), axis=-1)
        return jnp.einsum("hnm,mhd->nhd", scores, u).reshape(n, 6) @ v["out"]

    spec = found(apply, zeros(q=(5, 6), k=(5, 6), u=(5, 6), out=(6, 5)), 4, 5)
    heads = Units("q", 2)
    inside = Block(heads, Units("q/inside", 3, under="q"))
    values = Block(heads, Units("u", 3, under="q"))
    assert spec["q"] == spec["k"] == Axes(None, inside)
    assert spec["u"] == Axes(None, values)
    assert spec["out"] == Axes(values, None)


def test_units_under_an_axis_that_stays():
    def apply(v, x):
        # Three channels of the input, each with its own two filters.
        numbers = ("NWC", "WIO", "NWC")
        h = jax.lax.conv_general_dilated(
            x, v["w"], (1,), "SAME", None, None, numbers, feature_group_count=3
        )
        return jnp.tanh(h).sum(axis=1) @ v["head"]

    spec = found(apply, zeros(w=(5, 1, 6), head=(6, 4)), 2, 8, 3)
    label = Block(Fixed("w", 3), Units("w/inside", 2, under="w"))
    assert spec == {"w": Axes(None, None, label), "head": Axes(label, None)}


def test_stacked_layers_have_units_of_their_own():
    def apply(v, x):
        layer = lambda h, w: (jnp.tanh(h @ w), None)  # noqa: E731
        return jax.lax.scan(layer, x @ v["first"], v["layers"])[0] @ v["last"]

    spec = found(apply, zeros(first=(3, 4), layers=(2, 4, 4), last=(4, 5)), 2, 3)
    one, two = Units("layers[0]", 4), Units("layers[1]", 4)
    assert spec["layers"] == Stacked(Axes(Units("first", 4), one), Axes(one, two))
    assert spec["last"] == Axes(two, None)


def test_layers_taken_one_by_one_are_stacked_too():
    def apply(v, x):
        for i in range(2):
            x = jnp.tanh(x @ v["w"][i] + v["b"][i][None])
        return x @ v["last"]

    spec = found(apply, zeros(w=(2, 3, 3), b=(2, 3), last=(3, 4)), 2, 3)
    assert spec["b"] == Stacked(Axes(Units("w[0]", 3)), Axes(Units("w[1]", 3)))


def test_rows_that_nothing_reads_stay():
    def apply(v, x):
        return (x @ v["w"] + v["positions"][:4][None]) @ v["head"]

    variables = zeros(w=(3, 5), positions=(6, 5), head=(5, 2))
    spec = found(apply, variables, 2, 4, 3)
    assert spec["positions"] == Axes(None, Units("w", 5))


def test_why_an_axis_stays():
    def apply(v, x):
        return jnp.cumsum(x @ v["w"], axis=1) @ v["head"]

    stays = examine(
        apply, zeros(w=(3, 5), head=(5, 2), idle=(7,)), jnp.ones((4, 3))
    ).stays
    assert stays["w"][0] == "an input"
    assert stays["w"][1].startswith("cumsum at ")
    assert "test_discover.py" in stays["w"][1]
    assert stays["head"][1] == "an axis of the outputs"
    assert stays["idle"] == ("not used by the function",)


def test_the_reason_is_that_of_what_it_is_tied_to():
    def apply(v, x):
        a, b, c = (x @ v[name] for name in "abc")
        b = b + jnp.cumsum(c, axis=1)
        return ((a + b) * v["scale"][None]).sum(axis=1)

    shapes = zeros(a=(3, 5), b=(3, 5), c=(3, 5), scale=(5,))
    stays = examine(apply, shapes, jnp.ones((4, 3))).stays
    assert stays["a"][1].startswith("cumsum at ")
    assert stays["scale"][0] == stays["a"][1] == stays["c"][1]


def test_why_parts_side_by_side_stay():
    def apply(v, x):
        a, b = x @ v["a"], x @ v["b"]
        single = jnp.tanh(x @ v["c"])
        rolled = jnp.concatenate([single[:, 1:], single[:, :1]], axis=1)
        return jnp.concatenate([a, b], axis=1) @ v["d"] + single @ v["e"], a, b, rolled

    variables = zeros(a=(3, 4), b=(3, 5), c=(3, 2), d=(9, 2), e=(2, 2))
    stays = examine(apply, variables, jnp.ones((4, 3))).stays
    assert stays["d"][0] == "an axis of the outputs"
    assert stays["e"][0] == "each unit is used in a way of its own"


@pytest.mark.parametrize("loop", ["scan", "while"])
def test_why_what_a_loop_carries_stays(loop):
    """The loop ties pairs to threes, not what its program did last."""

    def apply(v, x):
        h = (x @ v["a"]).reshape(len(x), 2, 3).reshape(len(x), 6)
        other = v["u"].reshape(1, 6)

        def next_one(h):
            return jnp.broadcast_to(other, h.shape) * jnp.sum(h)

        if loop == "scan":
            h, _ = jax.lax.scan(lambda h, _: (next_one(h), None), h, None, length=2)
        else:
            h = jax.lax.while_loop(lambda h: jnp.sum(h) < 2, next_one, h)
        return h @ v["b"]

    shapes = zeros(a=(3, 6), u=(3, 2), b=(6, 2))
    stays = examine(apply, shapes, jnp.ones((4, 3))).stays
    assert stays["a"][1].startswith(f"{loop} at ")


def test_what_is_only_reduced_is_used():
    def apply(v, x):
        values, _ = jax.lax.top_k(v["t"], 1)
        least = jnp.sort(v["u"].astype(jnp.int32))[0].astype(x.dtype)
        return x @ v["b"] + (v["w"] ** 2).sum() + least + values[0]

    spec = found(apply, zeros(b=(3, 2), w=(4, 5), u=(6,), t=(7,)), 4, 3)
    assert spec["w"] == Axes(Units("w", 4), Units("w/inside", 5, under="w"))
    assert spec["u"] == Axes(Units("u", 6))
    assert spec["t"] == Axes(Units("t", 7))


def test_a_primitive_without_a_rule_freezes_and_is_reported():
    def apply(v, x):
        h = jnp.tanh(x @ v["a"]) @ v["b"]
        return jnp.linalg.inv(h) @ v["c"]

    variables = zeros(a=(3, 5), b=(5, 2), c=(2, 2))
    with pytest.warns(UserWarning, match=r"lu at .*test_discover"):
        spec = found(apply, variables, 2, 3)
    a = Units("a", 5)
    assert spec == {"a": Axes(None, a), "b": Axes(a, None), "c": Axes(None, None)}


def test_leaves_that_are_no_arrays_are_passed_on():
    def apply(v, x):
        return v["f"](x @ v["w"]) @ v["u"]

    variables = {**zeros(w=(3, 4), u=(4, 2)), "f": jnp.tanh}
    spec = found(apply, variables, 2, 3)
    assert spec["f"] == Axes()
    assert spec["w"] == Axes(None, Units("w", 4))


def test_settings_are_passed_on():
    def apply(v, x, train, *, kind="tanh"):
        h = getattr(jnp, kind)(x @ v["w"])
        return h if train else h @ v["u"]

    variables, x = zeros(w=(3, 4), u=(4, 2)), jnp.ones((5, 3))
    assert discover(apply, variables, x, False)["u"] == Axes(Units("w", 4), None)
    assert discover(apply, variables, x, True)["w"] == Axes(None, None)


def test_variables_without_arrays_are_refused():
    with pytest.raises(ValueError, match="no array leaves"):
        discover(lambda v, x: x, {}, jnp.ones(3))


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_axis_names_are_those_of_the_layers(norm):
    model = models.build(
        "resnet",
        width=4,
        depth=8,
        norm=norm,
        image_shape=(8, 8, 1),
        classes=3,
        mean=(0.0,),
        std=(1.0,),
    )
    kernel = model.spec["params"]["stage_2_block_1"]["conv_2"]["kernel"]
    assert kernel == Axes(
        None,
        None,
        Units("stage_2_block_1/conv_1", 8),
        Units("stage_2_block_1/conv_2", 8),
    )


def worst_change(program, seed):
    """Largest relative change of the outputs, and the units that the spec has."""
    variables, x = program.variables(seed), program.inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = discover(program.apply, variables, x)
    moved = permute(spec, random_indices(spec, seed), variables)
    apply = jax.jit(program.apply)
    before = np.asarray(apply(variables, x))
    after = np.asarray(apply(list(map(jnp.asarray, moved)), x))
    scale = np.abs(before).max() or 1.0  # some programs return nothing but zeros
    return np.abs(after - before).max() / scale, units(spec)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed, x64):
    program = Program(seed, length=10)
    change, _ = worst_change(program, seed)
    assert change < 1e-12  # float64: only the order of sums differs


@pytest.mark.parametrize("seed", range(12))
def test_mixed_programs(seed, x64):
    change, _ = worst_change(Mixed(seed), seed)
    assert change < 1e-11


@pytest.mark.slow
def test_many_mixed_programs(x64):
    nested = 0
    for seed in range(100, 500):
        change, found = worst_change(Mixed(seed), seed)
        assert change < 1e-11, seed
        nested += any(above for _, above in found.values())
    assert nested > 50


@pytest.mark.slow
def test_many_random_programs(x64):
    with_units = nested = 0
    for seed in range(100, 500):
        program = Program(seed, length=12)
        if program.shapes:
            change, found = worst_change(program, seed)
            assert change < 1e-12, seed
            with_units += bool(found)
            nested += any(above for _, above in found.values())
    # That many test something: programs that freeze everything would always pass.
    assert with_units > 200
    assert nested > 20
