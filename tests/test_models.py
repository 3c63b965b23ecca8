"""Models: the spec preserves the function, recipes, convolutions, refusals."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import models, trees
from linconn_jax import permutation as pm
from linconn_jax.models import conv, mlp
from linconn_jax.models import linen as linen_models
from linconn_jax.permutation import Axes

NORMS = ("none", "layer", "batch")
SMALL = {
    "mlp": {"width": 5, "depth": 3},
    "vgg": {"width": 2, "depth": 11},
    "resnet": {"width": 3, "depth": 8},
}


def build(family, norm="layer", shape=(8, 8, 1), **options):
    channels = shape[2] if len(shape) == 3 else 1
    return models.build(
        family,
        image_shape=shape,
        classes=10,
        mean=(0.4,) * channels,
        std=(0.3,) * channels,
        norm=norm,
        **{**SMALL.get(family, {}), **options},
    )


def random_variables(model, seed=0):
    """Every leaf drawn at random (never initial ones); variances positive."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    leaves, structure = jax.tree.flatten(shapes)
    rng = np.random.default_rng(seed)
    drawn = [jnp.asarray(rng.normal(size=x.shape) * 0.5) for x in leaves]
    tree = jax.tree.unflatten(structure, drawn)
    return jax.tree_util.tree_map_with_path(
        lambda p, x: jnp.abs(x) + 0.5 if trees.path_name(p).endswith("var") else x, tree
    )


def images_for(model, n=3):
    return np.random.default_rng(1).normal(size=(n, *model.image_shape))


def difference(model, spec, variables, p):
    moved = pm.permute(spec, p, variables)
    # Many images: a unit that is dead on all of a few would hide a wrong label.
    images, apply = jnp.asarray(images_for(model, 64)), jax.jit(model.apply)
    logits = apply(variables, images)
    change = jnp.abs(apply(moved, images) - logits).max()
    return float(change), float(jnp.abs(logits).max())


CASES = [
    (family, norm, shape)
    for family, norm in itertools.product(SMALL, NORMS)
    for shape in ((8, 8, 1), (32, 32, 3))
    if shape == (8, 8, 1) or norm == "layer"
]


@pytest.mark.parametrize(("family", "norm", "shape"), CASES)
def test_the_spec_preserves_the_function(family, norm, shape, x64):
    model = build(family, norm, shape)
    variables = random_variables(model)
    p = pm.random(jax.random.key(2), model.spec, variables)
    change, size = difference(model, model.spec, variables, p)
    assert change < 1e-10 * size  # float64 through at most 9 layers


def without(spec, path, axis):
    """`spec` with one label dropped, the leaf's other labels kept."""

    def one(at, axes):
        if trees.path_name(at) != path:
            return axes
        labels = list(axes.labels)
        labels[axis] = None
        return Axes(*labels)

    is_axes = lambda x: isinstance(x, Axes)  # noqa: E731
    return jax.tree_util.tree_map_with_path(one, spec, is_leaf=is_axes)


@pytest.mark.parametrize(
    ("family", "norm"),
    [("mlp", "batch"), pytest.param("resnet", "layer", marks=pytest.mark.slow)],
)
def test_every_label_is_needed(family, norm, x64):
    model = build(family, norm)
    variables = random_variables(model)
    p = pm.random(jax.random.key(2), model.spec, variables)
    names = pm.sizes(model.spec, variables)
    assert all((np.asarray(p[n]) != np.arange(names[n])).any() for n in names)
    checked = 0
    bound = pm.bind(model.spec, variables)
    for path, axes in zip(bound.paths, bound.axes, strict=True):
        for axis, label in enumerate(axes.labels):
            if label is not None:
                wrong = without(model.spec, path, axis)
                change, size = difference(model, wrong, variables, p)
                assert change > 1e-4 * size, (path, axis)
                checked += 1
    assert checked > 10


@pytest.mark.parametrize(
    ("family", "options", "names"),
    [
        ("mlp", {"depth": 4}, 4),
        ("vgg", {"depth": 16}, 13),
        ("resnet", {"depth": 20}, 12),
    ],
)
def test_numbers_of_groups(family, options, names):
    model = build(family, shape=(32, 32, 3), **options)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert len(pm.sizes(model.spec, shapes)) == names


def test_numbers_of_parameters():
    """Counted by hand from the published architectures (CIFAR-10, LayerNorm)."""

    def count(family, **options):
        model = build(family, shape=(32, 32, 3), **options)
        return trees.size(jax.eval_shape(model.init, jax.random.key(0))["params"])

    channels = [64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    inputs = [3, *channels[:-1]]
    convs = sum(9 * i * o + o for i, o in zip(inputs, channels, strict=True))
    assert count("vgg", width=64, depth=16) == convs + 2 * sum(channels) + 512 * 10 + 10
    # ResNet-20-16 with 1x1 convolutions (and their norms) as shortcuts: 272 474 with
    # BatchNorm's scale and bias, as LayerNorm has (He et al. 2016: 0.27 M).
    stem, stages, width = 27 * 16 + 32, 0, 16
    for stage, out in enumerate((16, 32, 64)):
        for block in range(3):
            first = width if block == 0 else out
            stages += 9 * first * out + 9 * out * out + 4 * out
            stages += first * out + 2 * out if block == 0 and stage else 0
        width = out
    assert count("resnet", width=16, depth=20) == stem + stages + 64 * 10 + 10 == 272474


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [4, 7])
def test_convolutions_agree(size, stride, side, x64):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, side, side, 3)))
    kernel = jnp.asarray(rng.normal(size=(size, size, 3, 4)))

    def of(function):
        value = lambda x, k: jnp.sum(jnp.sin(function(x, k, stride=stride)))  # noqa: E731
        gradients = jax.grad(value, argnums=(0, 1))(images, kernel)
        return function(images, kernel, stride=stride), gradients

    functions = (conv.conv_general, conv.conv, functools.partial(conv.conv, train=True))
    expected, *found = jax.jit(lambda: [of(function) for function in functions])()
    for each in found:
        jax.tree.map(
            # 1e-12: float64 sums of at most 75 products.
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12),
            each,
            expected,
        )


def test_the_gradient_of_training_can_be_differentiated_again(x64):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, 5, 4, 3)))
    kernel, towards = jnp.asarray(rng.normal(size=(2, 3, 3, 3, 4)))

    def curvature(**options):
        value = lambda k: jnp.sum(jnp.sin(conv.conv(images, k, **options)))  # noqa: E731
        return jax.jvp(jax.grad(value), (kernel,), (towards,))

    for one, other in zip(curvature(train=True), curvature(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_convolution_under_vmap_over_kernels_and_in_a_loop():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, 6, 6, 3)), jnp.float32)
    kernels = jnp.asarray(rng.normal(size=(4, 3, 3, 3, 5)), jnp.float32)
    each = jnp.stack([conv.conv_general(images, k) for k in kernels])
    together = jax.vmap(lambda k: conv.conv(images, k, train=True))(kernels)
    looped = jax.lax.map(lambda k: conv.conv(images, k), kernels)
    np.testing.assert_allclose(together, each, atol=1e-5)
    np.testing.assert_allclose(looped, each, atol=1e-5)


@pytest.mark.parametrize("family", SMALL)
def test_initial_variables(family):
    """Kaiming normal kernels, uniform biases, unit scales (claims: training recipe)."""
    wide = {"mlp": 200, "vgg": 16, "resnet": 16}[family]
    model = build(family, shape=(32, 32, 3), width=wide)
    params = model.init(jax.random.key(0))["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = trees.path_name(path)
        leaf = np.asarray(leaf)
        if name.endswith("kernel"):
            fan_in = np.prod(leaf.shape[:-1])
            # Seven standard errors of a standard deviation of so many draws.
            assert leaf.std() == pytest.approx(
                np.sqrt(2 / fan_in), rel=7 / np.sqrt(2 * leaf.size)
            ), name
        elif name.endswith("scale"):
            np.testing.assert_array_equal(leaf, 1.0)
        elif "norm" in name:
            np.testing.assert_array_equal(leaf, 0.0)
        else:
            assert leaf.std() > 0, name
            assert np.abs(leaf).max() <= 1.0, name


def test_uint8_images_are_normalised_per_channel():
    model = build("mlp", shape=(4, 4, 1))
    variables = model.init(jax.random.key(0))
    raw = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1)).astype(np.uint8)
    by_hand = (raw / np.float32(255) - np.float32(0.4)) / np.float32(0.3)
    np.testing.assert_allclose(
        model.apply(variables, raw),
        model.apply(variables, by_hand.astype(np.float32)),
        atol=1e-5,
    )


def test_batch_norm_uses_the_batch_in_training_and_updates_its_statistics():
    model = build("mlp", "batch")
    variables = model.init(jax.random.key(0))
    images = jnp.asarray(images_for(model, 64), jnp.float32)
    logits, stats = model.apply(variables, images, train=True)
    assert float(jnp.abs(logits - model.apply(variables, images)).max()) > 1e-3
    before = model.read(variables, images, at="linear")["dense_1"]
    # momentum 0.9: a tenth of the batch's mean after one step from zero.
    np.testing.assert_allclose(
        stats["norm_1"]["mean"], 0.1 * before.mean(axis=0), atol=1e-5
    )


@pytest.mark.parametrize("at", pm.READS)
@pytest.mark.parametrize("family", SMALL)
def test_activations_cover_every_axis_name(family, at):
    model = build(family)
    variables = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((3, *model.image_shape), jnp.float32)
    found = jax.eval_shape(functools.partial(model.read, at=at), variables, images)
    units = pm.sizes(model.spec, variables)
    assert {name: x.shape[1] for name, x in found.items()} == units
    assert all(len(x) % 3 == 0 for x in found.values())


@pytest.mark.parametrize("width", [3, 8, 16])
@pytest.mark.parametrize("depth", [None, 16, 8])
@pytest.mark.parametrize("family", SMALL)
def test_the_family_is_the_name_without_the_width(family, depth, width):
    if depth is None or (family, depth) in (("mlp", 8), ("vgg", 16), ("resnet", 8)):
        options = {} if depth is None else {"depth": depth}
        model = build(family, width=width, **options)
        places = list(re.finditer(rf"(?<!\d){width}(?!\d)", model.name))
        begin, end = places[-1].span()
        assert model.family == f"{model.name[:begin]}W{model.name[end:]}"


def test_inputs_that_are_no_images():
    model = build("mlp", shape=(6,))
    variables = model.init(jax.random.key(0))
    assert variables["params"]["dense_1"]["kernel"].shape == (6, 5)
    grey = np.arange(12, dtype=np.uint8).reshape(2, 6)
    by_hand = (grey / np.float32(255) - np.float32(0.4)) / np.float32(0.3)
    np.testing.assert_allclose(
        model.apply(variables, grey),
        model.apply(variables, by_hand.astype(np.float32)),
        atol=1e-5,
    )
    for family in ("vgg", "resnet"):
        with pytest.raises(ValueError, match="takes images"):
            build(family, shape=(6,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build("vit"), "vit"),
        (lambda: build("mlp", width=0), "width=0"),
        (lambda: build("mlp", width=2.5), "width=2.5"),
        (lambda: build("mlp", depth=0), "depth=0"),
        (lambda: build("mlp", norm="group"), "norm='group'"),
        (lambda: build("mlp", activation="swish2"), "activation='swish2'"),
        (lambda: build("mlp", heads=3), "no option 'heads'"),
        (lambda: build("resnet", depth=19), "depth=19"),
        (lambda: build("vgg", depth=15), "depth"),
        (lambda: build("vgg", shape=(2, 2, 1)), "too small"),
        (lambda: build("mlp", shape=(8, 8, 0)), "a tuple of integers of at least 1"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_images_of_another_shape_are_refused():
    model = build("mlp")
    variables = model.init(jax.random.key(0))
    with pytest.raises(ValueError, match="was built for"):
        model.apply(variables, jnp.zeros((2, 9, 9, 1)))


def test_integers_other_than_uint8_are_refused(unchecked):
    """They would go in as 0 to 255, not normalised."""
    model = unchecked(linen_models).from_linen(
        mlp.MLP(5, 1, "relu", "none", 10),
        family="mlp-W",
        image_shape=(4, 4, 1),
        classes=10,
        mean=(0.4,),
        std=(0.3,),
    )
    variables = model.init(jax.random.key(0))
    with pytest.raises(ValueError, match="images have dtype int32; they must be uint8"):
        model.apply(variables, np.zeros((2, 4, 4, 1), np.int32))
