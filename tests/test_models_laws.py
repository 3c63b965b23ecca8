"""Models, what `test_models` leaves: norms, read points, sizes, labels one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import models, permutation, trees
from linconn_jax.models import conv as convolution
from linconn_jax.permutation import Axes

SMALL = {
    "mlp": {"width": 6, "depth": 2},
    "vgg": {"width": 3, "depth": 11},
    "resnet": {"width": 3, "depth": 8},
}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
SLOW_BUT_MLP = [
    pytest.param(x, marks=[] if x == "mlp" else [pytest.mark.slow]) for x in SMALL
]


def make(family, image_shape=(4, 4, 3), **options):
    channels = image_shape[-1]
    return models.build(
        family,
        image_shape=image_shape,
        classes=5,
        mean=MEAN[:channels],
        std=STD[:channels],
        **{**SMALL[family], **options},
    )


def shapes(model):
    return jax.eval_shape(model.init, jax.random.key(0))


def random_variables(model, dtype=np.float32):
    """Every leaf random, none initial; scales and variances positive: no dead units."""
    rng = np.random.default_rng(0)

    def one(path, leaf):
        value = rng.normal(size=leaf.shape) * (2 / np.prod(leaf.shape[:-1])) ** 0.5
        if path[-1].key in ("scale", "var"):
            value = 0.5 + np.abs(value)
        return jnp.asarray(value, dtype)

    return jax.tree_util.tree_map_with_path(one, shapes(model))


def random_images(model, n=4, dtype=np.float32):
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.normal(size=(n, *model.image_shape)), dtype)


def relative_change(a, b):
    return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(a)))


def assert_trees_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize(
    "image_shape", [(4, 4, 1), (7, 5, 2), (28, 28, 1), (33, 32, 3)]
)
@pytest.mark.parametrize("family", SMALL)
def test_input_sizes(family, image_shape):
    model = make(family, image_shape)
    images = jax.ShapeDtypeStruct((3, *image_shape), jnp.uint8)
    assert jax.eval_shape(model.apply, shapes(model), images).shape == (3, 5)
    if family == "vgg":  # the dense layer is 8W → classes whatever the image
        assert shapes(model)["params"]["head"]["kernel"].shape == (24, 5)


@pytest.mark.parametrize(
    ("side", "sides"),
    [(32, [32, 16, 8, 4, 2]), (28, [28, 14, 7, 3, 1]), (8, [8, 4, 2, 1, 1])],
)
def test_vgg_maps_per_stage(side, sides):
    model = make("vgg", (side, side, 3), depth=16)
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    reads = jax.eval_shape(model.read, shapes(model), images)
    firsts = ["conv_01", "conv_03", "conv_05", "conv_08", "conv_11"]
    assert [reads[name].shape[0] for name in firsts] == [s * s for s in sides]


def test_axis_names():
    vgg = make("vgg", depth=16, width=4)
    factors = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8]
    assert list(permutation.sizes(vgg.spec, shapes(vgg)).items()) == [
        (f"conv_{i:02d}", 4 * factor) for i, factor in enumerate(factors, start=1)
    ]
    resnet = make("resnet", depth=20, width=4)
    assert list(permutation.sizes(resnet.spec, shapes(resnet)).items()) == [
        *((f"stage_1_block_{j}/conv_1", 4) for j in (1, 2, 3)),
        *((f"stage_2_block_1/conv_{j}", 8) for j in (1, 2)),
        *((f"stage_2_block_{j}/conv_1", 8) for j in (2, 3)),
        *((f"stage_3_block_1/conv_{j}", 16) for j in (1, 2)),
        *((f"stage_3_block_{j}/conv_1", 16) for j in (2, 3)),
        ("stem", 4),
    ]


def wrong_specs(spec, variables):
    """The spec with one label dropped, or with the last two of a leaf swapped."""
    found = [axes.labels for axes in permutation.bind(spec, variables).axes]
    structure = jax.tree.structure(variables)
    for i, labels in enumerate(found):
        other = [
            (*labels[:j], None, *labels[j + 1 :]) for j, x in enumerate(labels) if x
        ]
        if len(set(labels[-2:])) == 2:
            other.append((*labels[:-2], labels[-1], labels[-2]))
        for wrong in other:
            leaves = [Axes(*x) for x in [*found[:i], wrong, *found[i + 1 :]]]
            yield jax.tree.unflatten(structure, leaves)


@pytest.mark.parametrize("family", SLOW_BUT_MLP)
def test_each_label_dropped_or_swapped_changes_the_function(family, x64):
    model = make(family, norm="batch")
    variables = random_variables(model, np.float64)
    images = random_images(model, 64, np.float64)
    apply = jax.jit(model.apply)
    before = apply(variables, images)
    units = permutation.sizes(model.spec, variables)
    # Every unit moves, and differently in neighbouring layers.
    p = {
        name: np.roll(np.arange(n), 1 + i % 2)
        for i, (name, n) in enumerate(units.items())
    }
    right = apply(permutation.permute(model.spec, p, variables), images)
    assert relative_change(before, right) < 1e-12
    checked = 0
    for wrong in wrong_specs(model.spec, variables):
        checked += 1
        try:
            moved = permutation.permute(wrong, p, variables)
        except ValueError:  # swapped axes of different lengths are refused
            continue
        assert relative_change(before, apply(moved, images)) > 1e-6
    assert checked > 4 * len(units)


@pytest.mark.parametrize("family", SMALL)
def test_batch_statistics_move_with_the_units(family, x64):
    model = make(family, norm="batch")
    variables = random_variables(model, np.float64)
    images = random_images(model, 8, np.float64)
    p = permutation.random(jax.random.key(2), model.spec, variables)
    train = jax.jit(lambda v: model.apply(v, images, train=True))
    logits, stats = train(variables)
    moved_logits, moved_stats = train(permutation.permute(model.spec, p, variables))
    assert relative_change(logits, moved_logits) < 1e-10
    spec = model.spec["batch_stats"]
    alone = permutation.permute(
        spec, {k: p[k] for k in permutation.sizes(spec, stats)}, stats
    )
    assert_trees_close(alone, moved_stats, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1, 4), (2, 3, 1), (7, 4, 2)])
def test_convolutions_of_odd_shapes(shape, stride, x64):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, *shape)))
    kernel = jnp.asarray(rng.normal(size=(3, 3, shape[-1], 5)))
    results = []
    for function in (convolution.conv_general, convolution.conv_as_matmul):
        out, pull = jax.vjp(
            lambda x, k, f=function: f(x, k, stride=stride), images, kernel
        )
        assert out.shape == (2, -(-shape[0] // stride), -(-shape[1] // stride), 5)
        results.append((out, pull(jnp.sin(out))))
    assert_trees_close(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 6), (7, 7), (3, 5), (2, 2)])
def test_max_pool_equals_reduce_window(shape):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, *shape, 3)), jnp.float32)
    windows = (1, 2, 2, 1)
    expected = jax.lax.reduce_window(
        images, -jnp.inf, jax.lax.max, windows, windows, "VALID"
    )
    np.testing.assert_array_equal(convolution.max_pool(images), expected)


def test_initial_draws_are_independent_and_not_truncated():
    model = make("vgg", width=16)
    params = model.init(jax.random.key(3))["params"]
    kernels = [np.asarray(params[f"conv_{i}"]["kernel"]).ravel() for i in (6, 7, 8)]
    draws = np.stack([k[:20_000] / k.std() for k in kernels])
    correlation = np.corrcoef(draws) - np.eye(3)
    assert np.abs(correlation).max() < 0.05  # seven standard errors
    assert np.abs(draws).max() > 3
    again, other = model.init(jax.random.key(3)), model.init(jax.random.key(4))
    assert trees.sha256(params) == trees.sha256(again["params"])
    assert not np.any(other["params"]["conv_1"]["kernel"] == params["conv_1"]["kernel"])


def test_residual_network_without_norms():
    """Blocks start as their shortcuts, so that depth does not blow activations up."""
    model = make("resnet", norm="none", depth=20, width=8)
    variables = model.init(jax.random.key(0))
    block = variables["params"]["stage_2_block_1"]
    assert not np.any(block["conv_2"]["kernel"])
    assert np.any(block["conv_1"]["kernel"])
    assert set(block["conv_1"]) == {"kernel", "bias"}
    logits = jax.jit(model.apply)(variables, random_images(model))
    assert 0.01 < float(jnp.std(logits)) < 10
    normed = make("resnet", norm="layer").init(jax.random.key(0))["params"]
    assert np.any(normed["stage_2_block_1"]["conv_2"]["kernel"])
    assert set(normed["stage_2_block_1"]["conv_1"]) == {"kernel"}


@pytest.mark.slow
def test_residual_network_without_norms_learns():
    model = make("resnet", norm="none")
    images, labels = random_images(model, 8), jnp.arange(8) % 5

    def loss(variables):
        logits, _ = model.apply(variables, images, train=True)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(8), labels])

    def step(_, variables):
        return jax.tree.map(
            lambda x, g: x - 0.05 * g, variables, jax.grad(loss)(variables)
        )

    variables = model.init(jax.random.key(0))
    after = jax.jit(lambda v: jax.lax.fori_loop(0, 60, step, v))(variables)
    assert trees.all_finite(after)
    assert loss(after) < 0.8 * loss(variables)


def test_batch_norm_by_hand():
    model = make("mlp", norm="batch", depth=1)
    variables, images = random_variables(model), random_images(model, 64)
    hidden = np.asarray(model.read(variables, images, at="linear")["dense_1"])
    logits, stats = model.apply(variables, images, train=True)
    old = variables["batch_stats"]["norm_1"]
    for key, value in (("mean", hidden.mean(0)), ("var", hidden.var(0))):
        expected = 0.9 * np.asarray(old[key]) + 0.1 * value
        np.testing.assert_allclose(stats["norm_1"][key], expected, rtol=1e-5, atol=1e-6)
    params = jax.tree.map(lambda x: np.asarray(x)[None], variables["params"])
    normed = (hidden - hidden.mean(0)[None]) / np.sqrt(hidden.var(0) + 1e-5)[None]
    active = np.maximum(
        normed * params["norm_1"]["scale"] + params["norm_1"]["bias"], 0
    )
    expected = active @ params["head"]["kernel"][0] + params["head"]["bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_over_a_mapped_axis_sees_the_whole_batch():
    model = make("mlp", norm="batch")
    variables, images = random_variables(model), random_images(model, 16)
    whole = model.apply(variables, images, train=True)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("batch",))
    split, same = jax.sharding.PartitionSpec("batch"), jax.sharding.PartitionSpec()

    def mapped(axis_name):
        function = jax.shard_map(
            lambda v, x: model.apply(v, x, train=True, axis_name=axis_name),
            mesh=mesh,
            in_specs=(same, split),
            out_specs=(split, same),
            check_vma=False,
        )
        return jax.jit(function)(variables, images)

    assert_trees_close(mapped("batch"), whole, rtol=1e-4, atol=1e-4)
    assert relative_change(whole[0], mapped(None)[0]) > 0.01  # each device on its own


@pytest.mark.slow
def test_layer_norm_is_over_the_channels_of_each_position():
    model = make("vgg", width=8)
    variables = model.init(jax.random.key(0))
    values = model.read(variables, random_images(model), at="norm")["conv_2"]
    np.testing.assert_allclose(values.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=1), 1, atol=0.01)


@pytest.mark.parametrize("family", SLOW_BUT_MLP)
def test_read_points_permute_with_the_network(family):
    model = make(family, norm="layer")
    variables, images = random_variables(model), random_images(model)
    p = permutation.random(jax.random.key(5), model.spec, variables)
    moved = permutation.permute(model.spec, p, variables)
    for at in permutation.READS:
        reads = model.read(variables, images, at=at)
        after = model.read(moved, images, at=at)
        assert list(reads) == list(p)
        for name, samples in reads.items():
            assert (float(samples.min()) >= 0) == (at == "relu")
            np.testing.assert_allclose(
                after[name], samples[:, p[name]], rtol=1e-3, atol=1e-4
            )


def test_streams_read_every_post_add_relu():
    model = make("resnet", (8, 8, 3), depth=20)
    images = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    reads = jax.eval_shape(model.read, shapes(model), images)
    streams = ("stem", "stage_2_block_1/conv_2", "stage_3_block_1/conv_2")
    counts = dict(zip(streams, (4 * 64, 3 * 16, 3 * 4), strict=True))  # stem in 1
    assert {name: reads[name].shape[0] // 2 for name in counts} == counts
    assert reads["stage_2_block_1/conv_1"].shape[0] == 2 * 16


@pytest.mark.parametrize("family", SLOW_BUT_MLP)
def test_stacked_networks_under_vmap(family):
    model = make(family)
    variables = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    images = random_images(model)
    got = jax.jit(jax.vmap(model.apply, in_axes=(0, None)))(variables, images)
    each = [model.apply(trees.take(variables, i), images) for i in range(2)]
    np.testing.assert_allclose(got, jnp.stack(each), rtol=1e-4, atol=1e-5)
    assert relative_change(got[0], got[1]) > 0.01


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("vgg", {"activation": "relu"}, "no option 'activation'"),
        ("vgg", {"width": True}, "width=True; it must be an integer"),
        ("resnet", {"depth": 2}, "depth=2; it must be an integer of at least 8"),
        ("resnet", {"image_shape": (3, 8, 3)}, "too small for 'resnet'"),
        ("mlp", {"classes": 1}, "classes=1; it must be an integer of at least 2"),
        ("mlp", {"mean": (0.5,)}, "one finite number for each of the 3 channels"),
        ("mlp", {"std": (0.5, 0.5, 0.0)}, "must be positive in every channel"),
    ],
)
def test_bad_options_are_refused(family, options, message):
    given = {"image_shape": (8, 8, 3), "classes": 5, "mean": MEAN, "std": STD}
    with pytest.raises(ValueError, match=message):
        models.build(family, **(given | SMALL[family] | options))


def test_bad_read_points_and_a_missing_width_are_refused():
    model = make("mlp", norm="none")
    variables, images = model.init(jax.random.key(0)), random_images(model)
    with pytest.raises(ValueError, match="at='conv'; it must be one of"):
        model.read(variables, images, at="conv")
    with pytest.raises(ValueError, match="no norm layers"):
        model.read(variables, images, at="norm")
    with pytest.raises(ValueError, match="needs width"):
        models.build("mlp", image_shape=(8, 8, 3), classes=5, mean=MEAN, std=STD)
