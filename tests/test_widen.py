"""A widened network computes what the narrow one does, to the rounding of float64."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import models
from linconn_jax.extras import LayerNorm, widen
from linconn_jax.extras.widen import _grown_in_jax
from linconn_jax.permutation import (
    Axes,
    Block,
    Concat,
    Stacked,
    Units,
    discover,
    sizes,
)

IMAGES = {"image_shape": (8, 8, 3), "classes": 4, "mean": (0.5,) * 3, "std": (0.2,) * 3}
WIDTHS = {
    "mlp": ({"width": 5}, {"width": 8}),
    "vgg": ({"width": 2, "depth": 11}, {"width": 3, "depth": 11}),
    "resnet": ({"width": 3, "depth": 8}, {"width": 4, "depth": 8}),
}


def drawn(shapes, seed=0):
    """Every leaf at random on the host; what ends in "var" is positive."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    rng = np.random.default_rng(seed)
    values = [
        np.exp(x) if path[-1].key == "var" else x
        for path, leaf in leaves
        for x in [rng.normal(size=leaf.shape)]
    ]
    return jax.tree.unflatten(structure, values)


@functools.cache
def model(family, norm, wide):
    return models.build(family, norm=norm, **WIDTHS[family][wide], **IMAGES)


def variables_of(model, seed=0):
    return drawn(jax.eval_shape(model.init, jax.random.key(0)), seed)


@pytest.fixture
def images(x64):
    return jnp.asarray(np.random.default_rng(9).normal(size=(3, 8, 8, 3)))


def assert_close(outputs, others):
    scale = np.abs(np.asarray(others)).max()
    np.testing.assert_allclose(outputs, others, rtol=0, atol=1e-12 * scale)
    assert scale > 1e-3


FAMILIES = pytest.mark.parametrize("family", list(WIDTHS))


@FAMILIES
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_models_compute_the_same_when_widened(images, family, norm):
    narrow, wide = model(family, norm, 0), model(family, norm, 1)
    variables = variables_of(narrow)
    widened = models.widen(narrow, wide, variables)
    target = jax.eval_shape(wide.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, widened) == jax.tree.map(jnp.shape, target)
    outputs = jax.jit(wide.apply)(widened, images)
    assert_close(outputs, jax.jit(narrow.apply)(variables, images))
    assert {leaf.dtype for leaf in jax.tree.leaves(widened)} == {jnp.dtype(jnp.float64)}
    if norm == "batch":
        var = widened["batch_stats"]
        units = [x for x in jax.tree.leaves_with_path(var) if x[0][-1].key == "var"]
        assert all(x[-1] == 1 for _, x in units)


@FAMILIES
def test_layer_norm_needs_its_care(images, family):
    narrow, wide = model(family, "layer", 0), model(family, "layer", 1)
    variables = variables_of(narrow)
    units = sizes(wide.spec, jax.eval_shape(wide.init, jax.random.key(0)))
    padded = widen(narrow.spec, variables, units)
    expected = jax.jit(narrow.apply)(variables, images)
    error = jnp.abs(jax.jit(wide.apply)(padded, images) - expected).max()
    assert error > 1e-2 * jnp.abs(expected).max()


def test_seeds_are_widened_together(images):
    narrow, wide = model("vgg", "layer", 0), model("vgg", "layer", 1)
    seeds = [variables_of(narrow, seed) for seed in range(2)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *seeds)
    widened = models.widen(narrow, wide, stacked)
    for i, one in enumerate(seeds):
        alone = models.widen(narrow, wide, one)
        for a, b in zip(jax.tree.leaves(widened), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-12)


def test_the_same_width_changes_nothing_and_less_is_an_error(images):
    narrow, wide = model("resnet", "layer", 0), model("resnet", "layer", 1)
    variables = variables_of(narrow)
    assert models.widen(narrow, narrow, variables) is variables
    with pytest.raises(
        ValueError, match=r"has 3 units for .*, which has 4; it must be"
    ):
        models.widen(wide, narrow, variables_of(wide))
    with pytest.raises(ValueError, match="different layers"):
        models.widen(narrow, model("resnet", "batch", 1), variables)
    with pytest.raises(ValueError, match=r"no name|axis names \['no"):
        widen(narrow.spec, variables, {"no name": 9})
    name = next(iter(sizes(narrow.spec, variables)))
    with pytest.raises(ValueError, match="must be an integer of at least"):
        widen(narrow.spec, variables, {name: True})


def test_models_of_other_images_are_refused(images):
    other = models.build("mlp", **WIDTHS["mlp"][1], **IMAGES | {"classes": 5})
    with pytest.raises(ValueError, match="must have the same images and classes"):
        models.widen(
            model("mlp", "none", 0), other, variables_of(model("mlp", "none", 0))
        )


def test_host_arrays_stay_on_the_host_and_jit_works(x64):
    narrow, wide = model("mlp", "layer", 0), model("mlp", "layer", 1)
    variables = variables_of(narrow)
    host = models.widen(narrow, wide, variables)
    device = models.widen(narrow, wide, jax.tree.map(jnp.asarray, variables))
    traced = jax.jit(lambda v: models.widen(narrow, wide, v))(variables)
    for a, b, c in zip(*map(jax.tree.leaves, (host, device, traced)), strict=True):
        assert isinstance(a, np.ndarray)
        assert isinstance(b, jax.Array)
        np.testing.assert_allclose(a, b, rtol=1e-13)
        np.testing.assert_allclose(c, b, rtol=1e-13)


def test_each_leaf_grows_where_it_lies():
    first, second, *_ = jax.devices()
    spec = {"k": Axes("a", "b"), "s": Axes("b"), "n": Axes("b"), "c": Axes()}
    tree = {
        "k": jax.device_put(jnp.ones((3, 4)), first),
        "s": jax.device_put(jnp.ones(4), second),
        "n": np.ones(4) + 1e-12,  # neither this nor the counter fits 32 bits
        "c": np.array(2**40),
    }
    found = widen(spec, tree, {"b": 6})
    assert found["c"] is tree["c"]
    assert isinstance(found["n"], np.ndarray)
    np.testing.assert_array_equal(found["n"], [*tree["n"], 0, 0], strict=True)
    assert found["k"].devices() == {first}
    assert found["s"].devices() == {second}
    norm = LayerNorm("s", "n")
    found = widen(spec, tree, {"b": 16}, layer_norms=[norm])
    np.testing.assert_array_equal(found["s"][:4], [0.5] * 4)
    np.testing.assert_allclose(found["n"][:4], 0, atol=1e-15)
    assert widen(spec, tree, {"a": 5})["s"] is tree["s"]


def test_networks_alike_share_a_compiled_program():
    spec, tree = {"w": Axes("a", "b")}, {"w": jnp.ones((2, 3))}
    before = _grown_in_jax._cache_size()
    for seed in range(3):
        widen(spec, {"w": tree["w"] + seed}, {"a": 4})
    assert _grown_in_jax._cache_size() == before + 1


def test_what_does_not_grow_is_left_alone_and_shapes_cannot_grow(unchecked):
    spec = {"w": Axes("a"), "b": Axes("b"), "n": Axes("b"), "keys": Axes(None)}
    keys = jax.random.split(jax.random.key(0))
    tree = {"w": jnp.ones(2), "b": np.arange(3.0), "n": np.ones(3), "keys": keys}
    norm = LayerNorm("n", "b")  # of units that do not grow: nothing to centre
    found = widen(spec, tree, {"a": 4}, layer_norms=[norm])
    np.testing.assert_array_equal(found["w"], [1, 1, 0, 0])
    np.testing.assert_array_equal(found["b"], tree["b"])
    assert (found["keys"] == keys).all()
    shapes = jax.eval_shape(lambda: tree)
    with pytest.raises(ValueError, match=r"leaf w is a ShapeDtypeStruct.*eval_shape"):
        widen(spec, shapes, {"a": 4})
    grown = jax.eval_shape(lambda v: widen(spec, v, {"a": 4}), shapes)
    assert grown["w"].shape == (4,)
    user_widen = unchecked(sys.modules[widen.__module__]).widen
    with pytest.raises(ValueError, match="must be a dict"):
        user_widen(spec, tree, 4)


def test_a_lone_text_is_one_name():
    assert LayerNorm("a/scale", "a/w") == LayerNorm(("a/scale",), ["a/w"])
    spec, tree = (
        {"r": Axes("a"), "var": Axes("a")},
        {"r": np.ones(2), "var": np.ones(2)},
    )
    found = widen(spec, tree, {"a": 3}, ones="var")
    assert found["r"].tolist() == [1, 1, 0]
    assert found["var"].tolist() == [1, 1, 1]


# Every kind of label.


@pytest.mark.parametrize(
    ("label", "old", "new"),
    [
        ("a", [0, 1], [0, 1, -1]),
        (Block(2, "a"), [0, 1, 2, 3], [0, 1, -1, 2, 3, -1]),
        (Block("a", 2), [0, 1, 2, 3], [0, 1, 2, 3, -1, -1]),
        (Concat("a", 1, "a"), [0, 1, 2, 3, 4], [0, 1, -1, 2, 3, 4, -1]),
        (Concat("b", "a"), [0, 1, 2], [0, -1, 1, 2, -1]),
        (Block("a", "b"), [0, 1], [0, -1, 1, -1, -1, -1]),
        (Block(Concat(1, "a"), "b"), [0, 1, 2], [0, -1, 1, -1, 2, -1, -1, -1]),
        (
            Block("a", Units("n", 2, under="a")),
            range(4),
            [0, 1, -1, 2, 3, -1, *[-1] * 3],
        ),
        (None, [0, 1], [0, 1]),
    ],
    ids=str,
)
def test_units_are_padded_where_they_are(label, old, new):
    extra = {"x": np.zeros(2), "y": np.zeros(1)}
    spec = {"leaf": Axes(label), "x": Axes("a"), "y": Axes("b")}
    tree = {"leaf": np.array(old), **extra}
    names = sizes(spec, tree).keys()
    wide = {name: n for name, n in {"a": 3, "b": 2, "n": 3}.items() if name in names}
    found = widen(spec, tree, wide, ones=["leaf"])["leaf"]
    assert found.tolist() == [1 if x == -1 else x for x in new]
    assert widen(spec, tree, wide)["leaf"].tolist() == [max(x, 0) for x in new]


def test_layers_of_a_stack_grow_alike():
    spec = {"w": Stacked(Axes("a", "b"), Axes("a", "c")), "none": Axes()}
    tree = {"w": np.arange(12.0).reshape(2, 2, 3), "none": None}
    found = widen(spec, tree, {"b": 4, "c": 4})["w"]
    np.testing.assert_array_equal(found[..., :3], tree["w"])
    assert found.shape == (2, 2, 4)
    assert not found[..., 3].any()
    with pytest.raises(ValueError, match="give them the same sizes"):
        widen(spec, tree, {"b": 4})


# Streams, written in torch's and in JAX's layout, and norms with a large epsilon.


def normalized(x, scale, *, centred=True):
    if centred:
        x = x - x.mean(-1, keepdims=True)
    return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 0.5) * scale[None]


def stream(params, x, *, centred=True):
    """An embedding and two branches write; three norms and nobody else read."""
    h = x @ params["embed"] + params["bias"][None]
    for branch, layout in ((params["one"], 0), (params["two"], 1)):
        inside = jax.nn.gelu(
            normalized(h, branch["scale"], centred=centred) @ branch["in"]
        )
        h = h + inside @ (branch["out"] if layout == 0 else branch["out"].T)
    return normalized(h, params["scale"], centred=centred) @ params["head"]


@pytest.mark.parametrize("centred", [True, False])
def test_a_residual_stream_between_norms(x64, centred):
    shapes = {
        "embed": (6, 4),
        "bias": (4,),
        "one": {"scale": (4,), "in": (4, 5), "out": (5, 4)},
        "two": {"scale": (4,), "in": (4, 7), "out": (4, 7)},
        "scale": (4,),
        "head": (4, 3),
    }
    shapes = jax.tree.map(
        lambda n: jax.ShapeDtypeStruct(n, jnp.float64),
        shapes,
        is_leaf=lambda x: isinstance(x, tuple),
    )
    params = drawn(shapes)
    x = jnp.asarray(np.random.default_rng(2).normal(size=(5, 6)))
    apply = jax.jit(functools.partial(stream, centred=centred))
    spec = discover(apply, params, x)
    by_size = {n: name for name, n in sizes(spec, params).items()}
    norm = LayerNorm(
        ("one/scale", "two/scale", "scale"),
        ("embed", "bias", "one/out", "two/out"),
        centred,
    )
    wide = {by_size[4]: 9, by_size[5]: 6, by_size[7]: 8}
    widened = widen(spec, params, wide, layer_norms=[norm])
    assert_close(apply(widened, x), apply(params, x))
    for wrong in (
        LayerNorm(norm.scales, norm.writers[:-1], centred),
        LayerNorm(norm.scales[:-1], norm.writers, centred),
        LayerNorm(norm.scales, norm.writers, not centred),
    ):
        outputs = apply(widen(spec, params, wide, layer_norms=[wrong]), x)
        assert jnp.abs(outputs - apply(params, x)).max() > 1e-3


def test_layer_norms_that_do_not_fit_are_refused():
    spec = {"w": Axes("a", "b"), "v": Axes("a", "a"), "s": Axes("a"), "t": Axes("b")}
    tree = {
        "w": np.ones((2, 3)),
        "v": np.ones((2, 2)),
        "s": np.ones(2),
        "t": np.ones(3),
    }
    for norm, match in (
        (LayerNorm(("s",), ("u",)), "names 'u', which is no array leaf"),
        (LayerNorm(("s", "t"), ("w",)), r"units of \['a', 'b'\]; they must"),
        (LayerNorm(("w",), ("v",)), "must have one axis"),
        (LayerNorm(("s",), ("t",)), "but 0 of its axes"),
        (LayerNorm(("s",), ("v",)), "but 2 of its axes"),
        (LayerNorm((), ("w",)), "they must belong to one axis name"),
    ):
        with pytest.raises(ValueError, match=match):
            widen(spec, tree, {"a": 4}, layer_norms=[norm])
    norms = [LayerNorm(("s",), ("w",)), LayerNorm(("t",), ("w",))]
    with pytest.raises(ValueError, match=r"\['w'\] more than once"):
        widen(spec, tree, {"a": 4}, layer_norms=norms)
