"""Models: their functions, specs, initial variables, norms and read points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import models, permutation, trees
from linconn_jax.models import conv as convolution
from linconn_jax.permutation import Axes

SMALL = {
    "mlp": {"width": 6, "depth": 2},
    "vgg": {"width": 2, "depth": 16},
    "resnet": {"width": 2, "depth": 8},
}
NORMS = ("layer", "batch", "none")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def make(family, image_shape=(8, 8, 3), **options):
    channels = image_shape[-1]
    options = {**SMALL[family], **options}
    return models.build(
        family,
        image_shape=image_shape,
        classes=5,
        mean=MEAN[:channels],
        std=STD[:channels],
        **options,
    )


def shapes(model):
    return jax.eval_shape(model.init, jax.random.key(0))


def random_variables(model, seed=0, dtype=np.float64):
    """Every leaf random, scales and running statistics too; variances positive."""
    rng = np.random.default_rng(seed)

    def one(path, leaf):
        value = rng.normal(size=leaf.shape) / max(np.prod(leaf.shape[:-1]), 1) ** 0.5
        value = np.abs(value) + 0.5 if trees.path_name(path).endswith("var") else value
        return jnp.asarray(value, dtype)

    return jax.tree_util.tree_map_with_path(one, shapes(model))


def random_images(model, n=4, seed=1, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(n, *model.image_shape)), dtype)


def relative_change(a, b):
    return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(a)))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", SMALL)
def test_shapes_collections_and_spec(family, norm):
    model = make(family, norm=norm)
    variables = model.init(jax.random.key(0))
    images = random_images(model, dtype=np.float32)
    assert model.apply(variables, images).shape == (4, 5)
    logits, stats = model.apply(variables, images, train=True)
    assert logits.shape == (4, 5)
    assert set(variables) == {"params"} | (
        {"batch_stats"} if norm == "batch" else set()
    )
    assert jax.tree.structure(stats) == jax.tree.structure(
        variables.get("batch_stats", {})
    )
    assert all(
        type(leaf) is Axes for leaf in jax.tree.leaves(model.spec, is_leaf=_axes)
    )
    assert permutation.sizes(model.spec, variables)
    for leaf in jax.tree.leaves(variables):
        assert leaf.dtype == jnp.float32


def _axes(leaf):
    return isinstance(leaf, Axes)


@pytest.mark.parametrize(
    "image_shape", [(4, 4, 1), (7, 5, 2), (28, 28, 1), (33, 32, 3)]
)
@pytest.mark.parametrize("family", SMALL)
def test_input_sizes(family, image_shape):
    model = make(family, image_shape)
    images = jax.ShapeDtypeStruct((3, *image_shape), jnp.uint8)
    logits = jax.eval_shape(model.apply, shapes(model), images)
    assert logits.shape == (3, 5)
    if family == "vgg":  # the dense layer is 8W → classes whatever the image
        assert shapes(model)["params"]["head"]["kernel"].shape == (16, 5)


@pytest.mark.parametrize(
    ("side", "sides"),
    [(32, [32, 16, 8, 4, 2]), (28, [28, 14, 7, 3, 1]), (8, [8, 4, 2, 1, 1])],
)
def test_vgg_maps_per_stage(side, sides):
    model = make("vgg", (side, side, 3))
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    reads = jax.eval_shape(model.activations, shapes(model), images)
    stages = [1, 3, 5, 8, 11]
    assert [reads[f"conv_{i:02d}"].shape[0] for i in stages] == [s * s for s in sides]


def test_axis_names_of_the_paper_networks():
    vgg = make("vgg", width=4)
    assert permutation.sizes(vgg.spec, shapes(vgg)) == {
        f"conv_{i:02d}": 4 * factor
        for i, factor in enumerate([1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8], start=1)
    }
    resnet = make("resnet", width=4, depth=20)
    sizes = permutation.sizes(resnet.spec, shapes(resnet))
    assert len(sizes) == 12
    assert [sizes[f"stage_{i}"] for i in (1, 2, 3)] == [4, 8, 16]
    assert [sizes[f"stage_{i}_block_2"] for i in (1, 2, 3)] == [4, 8, 16]
    mlp = make("mlp", depth=3)
    assert list(permutation.sizes(mlp.spec, shapes(mlp))) == [
        "dense_1",
        "dense_2",
        "dense_3",
    ]


@pytest.mark.parametrize(
    ("family", "options", "count"),
    [
        # Known counts: kuangliu's VGG16 with BatchNorm, 14 728 266, and torchvision-like
        # ResNet-20 with 1×1 shortcuts: 270 906 of kernels and head + 1568 of norms.
        ("vgg", {"width": 64, "norm": "batch"}, 14_728_266),
        ("vgg", {"width": 64, "norm": "none"}, 14_719_818),
        ("resnet", {"width": 16, "depth": 20, "norm": "batch"}, 272_474),
        ("resnet", {"width": 16, "depth": 20, "norm": "layer"}, 272_474),
        ("mlp", {"width": 512, "depth": 3}, 3072 * 512 + 2 * 512**2 + 3 * 512 + 5130),
    ],
)
def test_parameter_counts(family, options, count):
    model = models.build(
        family, image_shape=(32, 32, 3), classes=10, mean=MEAN, std=STD, **options
    )
    assert trees.size(shapes(model)["params"]) == count


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", SMALL)
def test_permuting_preserves_the_function(family, norm):
    model = make(family, norm=norm, width=3)
    variables = random_variables(model)
    images = random_images(model)
    p = permutation.random(jax.random.key(2), model.spec, variables)
    apply = jax.jit(model.apply)
    moved = permutation.permute(model.spec, p, variables)
    before, after = apply(variables, images), apply(moved, images)
    assert relative_change(before, after) < 1e-12
    train = jax.jit(lambda v: model.apply(v, images, train=True))
    (before, stats), (after, moved_stats) = train(variables), train(moved)
    assert relative_change(before, after) < 1e-12
    if norm == "batch":
        expected = permutation.permute(
            model.spec, p, {**variables, "batch_stats": stats}
        )["batch_stats"]
        for a, b in zip(
            jax.tree.leaves(expected), jax.tree.leaves(moved_stats), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def mutants(spec):
    """The spec with one label dropped, or with one pair of adjacent labels swapped."""
    leaves, structure = jax.tree.flatten(spec, is_leaf=_axes)
    for i, axes in enumerate(leaves):
        for j, label in enumerate(axes.labels):
            if label is not None:
                labels = axes.labels[:j] + (None,) + axes.labels[j + 1 :]
                yield jax.tree.unflatten(
                    structure, leaves[:i] + [Axes(*labels)] + leaves[i + 1 :]
                )
        if len(set(axes.labels[-2:])) == 2:
            labels = (*axes.labels[:-2], axes.labels[-1], axes.labels[-2])
            yield jax.tree.unflatten(
                structure, leaves[:i] + [Axes(*labels)] + leaves[i + 1 :]
            )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("family", SMALL)
def test_every_wrong_label_changes_the_function(family):
    model = make(family, norm="batch", width=3)
    variables = random_variables(model)
    images = random_images(model)
    units = permutation.sizes(model.spec, variables)
    p = {name: jnp.roll(jnp.arange(n), 1) for name, n in units.items()}
    apply = jax.jit(model.apply)
    before = apply(variables, images)
    after = apply(permutation.permute(model.spec, p, variables), images)
    assert relative_change(before, after) < 1e-12
    checked = 0
    for wrong in mutants(model.spec):
        try:
            moved = permutation.permute(wrong, p, variables)
        except ValueError:  # a swap between axes of different lengths is refused
            checked += 1
            continue
        assert relative_change(before, apply(moved, images)) > 1e-6
        checked += 1
    assert checked > 2 * len(units)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(6, 6, 3), (5, 7, 2), (1, 1, 4), (2, 3, 1)])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.usefixtures("x64")
def test_convolution_equals_the_oracle_with_gradients(size, shape, stride):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, *shape)))
    kernel = jnp.asarray(rng.normal(size=(size, size, shape[-1], 5)))
    border = size // 2

    def oracle(x, k):
        return jax.lax.conv_general_dilated(
            x,
            k,
            (stride, stride),
            [(border, border)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    expected, pull_expected = jax.vjp(oracle, images, kernel)
    cotangent = jnp.asarray(rng.normal(size=expected.shape))
    for function in (
        convolution.conv,
        convolution.conv_general,
        convolution.conv_as_matmul,
    ):
        got, pull = jax.vjp(
            lambda x, k, f=function: f(x, k, stride=stride), images, kernel
        )
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
        for a, b in zip(pull(cotangent), pull_expected(cotangent), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_convolution_over_stacked_kernels_in_a_loop():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, 6, 6, 3)), jnp.float32)
    kernels = jnp.asarray(rng.normal(size=(3, 3, 3, 3, 3)), jnp.float32)

    def loop(kernel):
        return jax.lax.fori_loop(0, 2, lambda _, x: convolution.conv(x, kernel), images)

    got = jax.jit(jax.vmap(loop))(kernels)
    for kernel, one in zip(kernels, got, strict=True):
        expected = convolution.conv_general(
            convolution.conv_general(images, kernel), kernel
        )
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(6, 6), (7, 7), (3, 5), (2, 2)])
def test_max_pool_equals_reduce_window(shape):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, *shape, 3)), jnp.float32)
    expected = jax.lax.reduce_window(
        images, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )
    np.testing.assert_array_equal(convolution.max_pool(images), expected)


def test_initial_statistics():
    model = make("vgg", (32, 32, 3), width=16)
    params = model.init(jax.random.key(3))["params"]
    for name, layer in params.items():
        if "kernel" not in layer:
            np.testing.assert_array_equal(layer["scale"], np.ones_like(layer["scale"]))
            np.testing.assert_array_equal(layer["bias"], np.zeros_like(layer["bias"]))
            continue
        kernel, bias = np.asarray(layer["kernel"]), np.asarray(layer["bias"])
        fan_in = np.prod(kernel.shape[:-1])
        assert np.abs(bias).max() <= fan_in**-0.5
        if kernel.size > 2000:
            assert kernel.std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05), name
            assert np.abs(kernel).max() > 3 * (2 / fan_in) ** 0.5  # not truncated
        if bias.size >= 64:
            assert bias.std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.2), name
    again = model.init(jax.random.key(3))["params"]
    other = model.init(jax.random.key(4))["params"]
    assert trees.sha256(params) == trees.sha256(again) != trees.sha256(other)
    kernels = [params[f"conv_{i:02d}"]["kernel"].reshape(-1)[:50] for i in (9, 10)]
    assert abs(np.corrcoef(*kernels)[0, 1]) < 0.5  # layers do not share their draws


def test_residual_network_without_norms_starts_as_its_shortcuts():
    model = make("resnet", norm="none", depth=20)
    params = model.init(jax.random.key(0))["params"]
    block = params["stage_2_block_1"]
    assert not np.any(block["conv_2"]["kernel"])
    assert np.any(block["conv_1"]["kernel"])
    assert "bias" in block["conv_1"]
    with_norm = make("resnet", norm="layer").init(jax.random.key(0))["params"]
    assert np.any(with_norm["stage_2_block_1"]["conv_2"]["kernel"])
    assert "bias" not in with_norm["stage_2_block_1"]["conv_1"]
    images = random_images(model, dtype=np.float32)
    model, deep = make("resnet", norm="none", width=8, depth=44), None
    deep = model.apply(model.init(jax.random.key(0)), images)
    assert 0.01 < float(jnp.std(deep)) < 10  # no blow-up through 21 blocks


@pytest.mark.parametrize(
    ("family", "norm"), [("mlp", "layer"), ("vgg", "none"), ("resnet", "none")]
)
def test_gradient_steps_lower_the_loss(family, norm):
    model = make(
        family, norm=norm, **({"width": 4} if family != "vgg" else {"depth": 11})
    )
    images = random_images(model, n=8, dtype=np.float32)
    labels = jnp.arange(8) % 5

    def loss(variables):
        logits, _ = model.apply(variables, images, train=True)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(8), labels])

    def step(_, variables):
        return jax.tree.map(
            lambda x, g: x - 0.05 * g, variables, jax.grad(loss)(variables)
        )

    variables = model.init(jax.random.key(0))
    after = jax.jit(lambda v: jax.lax.fori_loop(0, 40, step, v))(variables)
    assert trees.all_finite(after)
    assert loss(after) < 0.9 * loss(variables)


def test_batch_statistics_follow_the_batch():
    model = make("mlp", norm="batch", depth=1)
    variables = random_variables(model, dtype=np.float32)
    images = random_images(model, n=64, dtype=np.float32)
    hidden = np.asarray(model.activations(variables, images, at="linear")["dense_1"])
    logits, stats = model.apply(variables, images, train=True)
    old = variables["batch_stats"]["norm_1"]
    for key, value in (("mean", hidden.mean(0)), ("var", hidden.var(0))):
        expected = 0.9 * np.asarray(old[key]) + 0.1 * value
        np.testing.assert_allclose(stats["norm_1"][key], expected, rtol=1e-5, atol=1e-6)
    scale, bias = (variables["params"]["norm_1"][k] for k in ("scale", "bias"))
    normed = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5) * scale + bias
    head = variables["params"]["head"]
    expected = np.maximum(normed, 0) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert relative_change(logits, model.apply(variables, images)) > 0.01


def test_batch_statistics_over_a_mapped_axis_are_those_of_the_whole_batch():
    model = make("resnet", norm="batch")
    variables = random_variables(model, dtype=np.float32)
    images = random_images(model, n=8, dtype=np.float32)
    whole, whole_stats = model.apply(variables, images, train=True)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("batch",))
    P = jax.sharding.PartitionSpec

    def split(axis_name):
        return jax.jit(
            jax.shard_map(
                lambda v, x: model.apply(v, x, train=True, axis_name=axis_name),
                mesh=mesh,
                in_specs=(P(), P("batch")),
                out_specs=(P("batch"), P()),
                check_vma=False,
            )
        )(variables, images)

    logits, stats = split("batch")
    np.testing.assert_allclose(logits, whole, rtol=1e-3, atol=1e-4)
    for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(whole_stats), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert relative_change(whole, split(None)[0]) > 0.01  # each device on its own


def test_layer_norm_is_over_channels_at_each_position():
    model = make("vgg", norm="layer", depth=11, width=8)
    variables = model.init(jax.random.key(0))
    images = random_images(model, dtype=np.float32)
    values = model.activations(variables, images, at="norm")["conv_2"[:4] + "_2"]
    np.testing.assert_allclose(values.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=1), 1, atol=0.05)


@pytest.mark.parametrize("family", SMALL)
def test_read_points(family):
    model = make(family, norm="layer")
    variables = random_variables(model, dtype=np.float32)
    images = random_images(model, dtype=np.float32)
    sizes = permutation.sizes(model.spec, variables)
    reads = {at: model.activations(variables, images, at=at) for at in models.READS}
    for at, values in reads.items():
        assert list(values) == list(sizes)
        for name, samples in values.items():
            assert samples.shape[1] == sizes[name]
            assert samples.shape[0] % 4 == 0
            assert (float(samples.min()) >= 0) == (at == "relu")
    p = permutation.random(jax.random.key(5), model.spec, variables)
    moved = model.activations(permutation.permute(model.spec, p, variables), images)
    for name, samples in reads["relu"].items():
        np.testing.assert_allclose(
            moved[name], samples[:, p[name]], rtol=1e-3, atol=1e-4
        )


def test_streams_read_every_post_add_relu():
    model = make("resnet", depth=20)
    reads = jax.eval_shape(
        model.activations,
        shapes(model),
        jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32),
    )
    positions = {"stage_1": 4 * 64, "stage_2": 3 * 16, "stage_3": 3 * 4}
    for stream, count in positions.items():  # stage 1 has the stem's as well
        assert reads[stream].shape[0] == 2 * count
    assert reads["stage_2_block_1"].shape[0] == 2 * 16


@pytest.mark.parametrize("family", SMALL)
def test_stacked_networks_under_vmap(family):
    model = make(family)
    variables = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    images = random_images(model, dtype=np.float32)
    got = jax.jit(jax.vmap(model.apply, in_axes=(0, None)))(variables, images)
    for i in range(2):
        one = model.apply(trees.take(variables, i), images)
        np.testing.assert_allclose(got[i], one, rtol=1e-4, atol=1e-5)


def test_raw_images_are_normalised_as_floats_are_taken():
    model = make("mlp")
    variables = model.init(jax.random.key(0))
    raw = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    normal = (raw / 255 - np.array(MEAN)) / np.array(STD)
    got = model.apply(variables, jnp.asarray(raw))
    expected = model.apply(variables, jnp.asarray(normal, jnp.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert (
        relative_change(got, model.apply(variables, jnp.asarray(raw, jnp.float32))) > 1
    )


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
def test_activations_of_the_mlp(activation):
    model = make("mlp", activation=activation, depth=1)
    variables = random_variables(model, dtype=np.float32)
    images = random_images(model, dtype=np.float32)
    linear = model.activations(variables, images, at="linear")["dense_1"]
    got = model.activations(variables, images, at="relu")["dense_1"]
    expected = {"relu": jax.nn.relu, "gelu": jax.nn.gelu, "silu": jax.nn.silu}
    function = expected.get(activation, np.tanh)
    np.testing.assert_allclose(got, function(linear), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("alexnet", {}, "family='alexnet' is unknown"),
        ("mlp", {"width": 0}, "width=0 must be an integer of at least 1"),
        ("mlp", {"width": 2.5}, "width=2.5 must be an integer"),
        ("mlp", {"depth": 0}, "depth=0 must be an integer of at least 1"),
        ("mlp", {"norm": "group"}, "norm='group' is unknown"),
        ("mlp", {"activation": "relo"}, "activation='relo' is unknown"),
        ("vgg", {"width": -1}, "width=-1"),
        ("vgg", {"depth": 17}, "depth=17 is unknown for VGG"),
        ("vgg", {"activation": "relu"}, "no option 'activation'"),
        ("vgg", {"image_shape": (2, 8, 3)}, "too small for 'vgg'"),
        ("resnet", {"depth": 18}, "depth=18 must be 6n \\+ 2"),
        ("resnet", {"depth": 2}, "depth=2 must be an integer of at least 8"),
        ("resnet", {"image_shape": (8, 8)}, "must be three positive integers"),
        ("resnet", {"image_shape": (8, 0, 3)}, "must be three positive integers"),
        ("resnet", {"classes": 1}, "classes=1 must be an integer of at least 2"),
        ("resnet", {"mean": (0.5,)}, "one finite number for each of the 3 channels"),
        ("resnet", {"std": (0.5, 0.5, 0.0)}, "must be positive in every channel"),
    ],
)
def test_bad_options_are_refused(family, options, message):
    given = {"image_shape": (8, 8, 3), "classes": 5, "mean": MEAN, "std": STD}
    given |= SMALL.get(family, {})
    with pytest.raises(ValueError, match=message):
        models.build(family, **(given | options))


def test_bad_calls_are_refused():
    model = make("vgg", norm="none")
    variables = shapes(model)
    with pytest.raises(ValueError, match="image_shape=\\(9, 8, 3\\)"):
        jax.eval_shape(model.apply, variables, jnp.zeros((1, 9, 8, 3)))
    with pytest.raises(ValueError, match="at='conv' is unknown"):
        model.activations(variables, jnp.zeros((1, 8, 8, 3)), at="conv")
    with pytest.raises(ValueError, match="no norm layers"):
        model.activations(
            model.init(jax.random.key(0)), jnp.zeros((1, 8, 8, 3)), at="norm"
        )
    with pytest.raises(ValueError, match="needs width"):
        models.build("mlp", image_shape=(8, 8, 3), classes=5, mean=MEAN, std=STD)
