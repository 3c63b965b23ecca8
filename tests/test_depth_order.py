"""The order of depth of axis names, against networks whose order is known."""

import jax
import jax.numpy as jnp
import pytest
from outside_networks import clusters, equinox, plain

from linconn_jax import data, models, permutation
from linconn_jax.permutation import Axes, depth_order
from linconn_jax.permutation._discover import interpret


def floats(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def of_model(model, variables=None):
    inputs = jax.ShapeDtypeStruct((2, *model.image_shape), model.input_dtype)
    return depth_order(model.apply, model.shapes, inputs, spec=model.spec)


def built(family, width, **options):
    return models.build(
        family,
        width=width,
        image_shape=(32, 32, 3),
        classes=10,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        **options,
    )


def heads(groups):
    return [group[0] for group in groups]


def test_mlp():
    assert heads(of_model(built("mlp", 4, depth=12))) == [
        f"dense_{i:02d}" for i in range(1, 13)
    ]


def test_vgg():
    found = heads(of_model(built("vgg", 2)))
    assert len(found) == 13
    assert found == sorted(found)  # padded numbers, from the first to the last


def test_resnet():
    model = built("resnet", 2)
    found = heads(of_model(model))
    assert len(found) == 12


# ---- where trees and names are in another order than the function ----


def backwards(v, x):
    """The alphabet has it the other way round, and all is scaled before it is used."""
    v = jax.tree.map(lambda w: (w / (1 + jnp.abs(w))).astype(jnp.bfloat16), v)
    h = jnp.tanh(x.astype(jnp.bfloat16) @ v["z"] + v["bias_z"][None])
    h = jnp.tanh(h @ v["m"])
    return jnp.tanh(h @ v["head"]) @ v["a"]


BACKWARDS = {
    "z": floats(3, 5),
    "bias_z": floats(5),
    "m": floats(5, 6),
    "head": floats(6, 7),
    "a": floats(7, 2),
}


def test_not_the_order_of_names_or_leaves():
    """Units are named after the first leaf that holds them: those of z after its bias."""
    found = depth_order(backwards, BACKWARDS, floats(2, 3))
    assert found == (("bias_z",), ("head",), ("a",))


def test_control_without_a_look_at_inputs_scaling_counts(monkeypatch):
    class Always(interpret.Operation):
        @property
        def moves(self):
            return True

        @moves.setter
        def moves(self, value):
            pass

    monkeypatch.setattr(interpret, "Operation", Always)
    assert heads(depth_order(backwards, BACKWARDS, floats(2, 3))) == [
        "a",
        "bias_z",
        "head",
    ]


def test_a_spec_written_by_hand():
    spec = {
        "z": Axes(None, "one"),
        "bias_z": Axes("one"),
        "m": Axes("one", "a_second"),
        "head": Axes("a_second", None),  # a subgroup: nobody has to name all
        "a": Axes(None, None),
    }
    found = depth_order(backwards, BACKWARDS, floats(2, 3), spec=spec)
    assert found == (("one",), ("a_second",))


def test_a_primitive_without_a_rule():
    """Discovery finds nothing behind it, and the order is known all the same."""

    def apply(v, x):
        h = jnp.cumsum(x @ v["b"], axis=1)
        return jnp.cumsum(h @ v["a"], axis=1) @ v["c"]

    v = {"b": floats(3, 4), "a": floats(4, 5), "c": floats(5, 2)}
    spec = {"b": Axes(None, "y"), "a": Axes("y", "x"), "c": Axes("x", None)}
    assert depth_order(apply, v, floats(2, 3)) == ()
    assert heads(depth_order(apply, v, floats(2, 3), spec=spec)) == ["y", "x"]


def test_layers_stacked_for_a_scan():
    def apply(v, x):
        def layer(h, w):
            return h + jnp.tanh(h @ w["up"]) @ w["down"], None

        return jax.lax.scan(layer, x @ v["first"], v["layers"])[0] @ v["a_head"]

    layers = {"up": floats(3, 4, 6), "down": floats(3, 6, 4)}
    v = {"a_head": floats(4, 2), "first": floats(3, 4), "layers": layers}
    found = depth_order(apply, v, floats(2, 3))
    inner = [
        x.labels[1].name
        for x in permutation.discover(apply, v, floats(2, 3))["layers"]["up"].axes
    ]
    assert heads(found) == ["first", *inner]


def test_what_is_within_heads_belongs_to_them():
    def apply(v, x):
        q, k, u = (jnp.einsum("btd,dhk->bthk", x, v[name]) for name in "qkv")
        scores = jax.nn.softmax(jnp.einsum("bthk,bshk->bhts", q, k))
        mixed = jnp.einsum("bhts,bshk->bthk", scores, u)
        h = jnp.einsum("bthk,hkd->btd", mixed, v["o"])
        return jnp.tanh(h) @ v["a"]

    v = dict.fromkeys("qkv", floats(3, 2, 4)) | {
        "o": floats(2, 4, 5),
        "a": floats(5, 2),
    }
    found = depth_order(apply, v, floats(2, 6, 3))
    bound = permutation.bind(permutation.discover(apply, v, floats(2, 6, 3)), v)
    assert len(found) == 2
    head, *inside = found[0]
    assert len(inside) == 2
    assert all(bound.parents[name] == (head,) for name in inside)
    assert found[1] == (bound.axes[bound.paths.index("o")].labels[2].name,)


def test_units_that_only_variables_have():
    def apply(v, x):
        h = jnp.tanh(x @ (v["z"] @ v["y"]))
        return jnp.tanh(h @ v["b"]) @ v["a"]

    v = {"z": floats(3, 2), "y": floats(2, 4), "b": floats(4, 6), "a": floats(6, 2)}
    spec = {
        "z": Axes(None, "rank"),
        "y": Axes("rank", "one"),
        "b": Axes("one", "a_second"),
        "a": Axes("a_second", None),
    }
    found = depth_order(apply, v, floats(2, 3), spec=spec)
    assert heads(found) == ["one", "rank", "a_second"]


@pytest.mark.parametrize("network", [plain, equinox])
def test_networks_of_other_libraries(network):
    dataset = data.from_arrays("clusters", **clusters())
    made = network(6, dataset)
    model = models.from_functions(
        made["init"],
        made["apply"],
        name="foreign",
        inputs=dataset.train.images,
        state=made.get("state", False),
    )
    found = of_model(model)
    assert [x for group in found for x in group] == [*dict.fromkeys(heads(found))]
    bound = permutation.bind(model.spec, model.shapes)
    assert {x for group in found for x in group} == set(bound.parents)
    first = bound.axes[0].labels
    assert found[0][0] in {getattr(x, "name", None) for x in first}


def test_another_tree_is_refused():
    with pytest.raises(ValueError, match="structure"):
        depth_order(backwards, BACKWARDS, floats(2, 3), spec={"z": Axes(None, "one")})
