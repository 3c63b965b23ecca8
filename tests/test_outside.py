"""Networks of other libraries and data sets from arrays go through everything."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import outside_networks
import pytest

from linconn_jax import (
    data,
    functions,
    interpolate,
    models,
    parallel,
    permutation,
    simplex,
    train,
    trajectory,
    trees,
)
from linconn_jax.models import outside

DATASET = data.from_arrays("clusters", **outside_networks.clusters())
NETWORKS = ("plain", "equinox", "of_nnx", "haiku", "linen")
STEPS = 30
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(autouse=True)
def ordinary_promotion():
    """Other libraries mix dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@functools.cache
def model(name, **options):
    settings = {"function": f"outside_networks:{name}", **options}
    return models.from_settings(settings, DATASET, 8)


def trainer(of, devices=1, **options):
    chosen = jax.devices()[:devices]
    given = dict(seeds=2, batch_size=16) | options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "devices", lambda: chosen)
        return train.trainer(
            of,
            optax.sgd(0.1, momentum=0.9),
            DATASET.train.images,
            DATASET.train.labels,
            **given,
        )


def run(made, stop=STEPS):
    states = made.run(made.init((0, 1)), (0, 1), 0, stop)
    return jax.tree.map(lambda x: np.asarray(x)[:2], states)


@functools.cache
def trained(name):
    return run(trainer(model(name)))


def one_of(tree, index=0):
    return jax.tree.map(lambda x: x[index], tree)


@every_network
def test_training_learns_and_updates_the_state(name):
    of, states = model(name), trained(name)
    started = jax.device_get(of.init(train.init_key(0)))
    params, state = of.split(one_of(states.variables))
    before, state_before = of.split(started)
    assert jax.tree.structure(started) == jax.tree.structure(one_of(states.variables))
    assert (states.diverged == train.RUNNING).all()
    for old, new in ((before, params), (state_before, state)):
        pairs = zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)
        changed = [(a != b).any() for a, b in pairs]
        assert sum(changed) >= len(changed) / 2, name
    assert name == "plain" or jax.tree.leaves(state)
    logits = of.apply(one_of(states.variables), DATASET.test.images)
    assert (logits.argmax(axis=1) != DATASET.test.labels).mean() < 0.15  # chance: 0.67


@every_network
def test_the_spec_is_sound_and_all_its_labels_are_needed(name):
    of, variables = model(name), one_of(trained(name).variables)
    sizes = permutation.sizes(of.spec, variables)
    assert set(sizes.values()) == {8}
    assert len(sizes) == (2 if name == "plain" else 1)
    report = permutation.verify(of.apply, of.spec, variables, DATASET.test.images[:32])
    assert report.ok, str(report)


def spread_out(variables):
    """Floating leaves moved by random numbers, for zeros hide what is wrong."""
    rng = np.random.default_rng(0)

    def one(leaf):
        moved = leaf + np.abs(rng.normal(size=leaf.shape)) * 0.5
        return moved.astype(leaf.dtype) if leaf.dtype == np.float32 else leaf

    return jax.tree.map(one, variables)


@every_network
def test_a_leaf_left_out_of_a_permutation_changes_the_outputs(name):
    of, variables = model(name), spread_out(one_of(trained(name).variables))
    p = permutation.random(jax.random.key(1), of.spec, variables)
    moved = permutation.permute(of.spec, p, variables)
    leaves, structure = jax.tree.flatten(jax.device_get(moved))
    before = of.apply(variables, DATASET.test.images)
    after = of.apply(moved, DATASET.test.images)
    np.testing.assert_allclose(after, before, atol=1e-4)
    still = jax.tree.leaves(variables)
    changed = [i for i, leaf in enumerate(leaves) if (leaf != still[i]).any()]
    unread = permutation.examine(of.apply, variables, DATASET.test.images).unread
    paths = permutation.bind(of.spec, variables).paths
    # Haiku keeps what its averages are corrected from, which moves and is not read.
    assert all(paths[i].endswith("/hidden") for i in changed if paths[i] in unread)
    read = [i for i in changed if paths[i] not in unread]
    assert len(read) > 2
    for i in read:
        wrong = jax.tree.unflatten(structure, [*leaves[:i], still[i], *leaves[i + 1 :]])
        found = of.apply(wrong, DATASET.test.images)
        assert np.abs(found - before).max() > 1e-3, i


@every_network
def test_segments_are_evaluated(name):
    of, vertices = model(name), trained(name).variables
    test, middle = DATASET.test, jnp.asarray([0.5, 0.5])
    found = interpolate.evaluate_simplex(
        of.apply, vertices, simplex.segment(3), test.images, test.labels, batch_size=50
    )
    points = (one_of(vertices), trees.combine(middle, vertices), one_of(vertices, 1))
    for error, variables in zip(found.error, points, strict=True):
        wrong = of.apply(variables, test.images).argmax(axis=1) != test.labels
        assert error == pytest.approx(float(wrong.mean()), abs=1e-6)


@every_network
def test_checkpoints_come_back_in_the_structure_of_the_network(name, tmp_path):
    of, states = model(name), trained(name)
    config = {"signature": of.signature}
    with trajectory.record(tmp_path, config, seeds=(0, 1), steps=(STEPS,)) as recorder:
        recorder.save(
            STEPS,
            states.variables,
            states.opt_state,
            states.diverged,
            {"x": states.loss},
        )
        resumed = recorder.restore(trainer(of).example().opt_state, like=of.shapes)
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, states.variables)
    jax.tree.map(np.testing.assert_array_equal, resumed.resume, states.opt_state)
    loaded = trajectory.open(tmp_path, like=of.shapes).load(STEPS, seeds=1)
    jax.tree.map(np.testing.assert_array_equal, loaded, one_of(states.variables, 1))
    assert isinstance(trajectory.open(tmp_path).load(STEPS), dict)  # by names
    other = models.from_settings({"function": f"outside_networks:{name}"}, DATASET, 9)
    assert other.signature != of.signature
    with pytest.raises(ValueError, match="another network"):
        trajectory.open(tmp_path, like=other.shapes).load(STEPS)


def assert_close(a, b):
    # 1e-5: float32 sums taken in another order.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), a, b)


@pytest.mark.parametrize("name", ["haiku", "equinox"])
def test_a_batch_with_state_of_its_own_is_not_split(name):
    spread = trainer(model(name), devices=4)
    assert spread.mesh.shape == {parallel.SEED: 2, parallel.BATCH: 1}
    assert_close(run(spread).variables, trained(name).variables)
    with pytest.raises(ValueError, match="batch_devices=2 .*axis_name"):
        trainer(model(name), devices=4, batch_devices=2)


@pytest.mark.parametrize("name", ["linen", "plain"])
def test_batches_are_split_where_that_changes_nothing(name):
    spread = trainer(model(name), devices=4)
    assert spread.mesh.shape == {parallel.SEED: 2, parallel.BATCH: 2}
    assert_close(run(spread, 6).variables, run(trainer(model(name)), 6).variables)


def test_state_is_averaged_over_devices_even_if_apply_forgets_it():
    def init(key):
        state = {"mean": jnp.zeros(6), "n": jnp.zeros((), jnp.int32)}
        return {"w": jax.random.normal(key, (6, 3))}, state

    def apply(params, state, inputs, train, *, axis_name=None):
        updated = {"mean": inputs.mean(axis=0), "n": state["n"] + 1}
        return inputs @ params["w"], updated if train else state

    of = models.from_functions(
        init, apply, name="mean", inputs=DATASET.train.images, state=True
    )
    states = run(trainer(of, devices=4, seeds=2), 3)
    alone = run(trainer(of), 3)
    assert_close(states.variables, alone.variables)
    assert states.variables["state"]["n"].tolist() == [3, 3]


# ---- what is refused ----


def linear(**changes):
    """Arguments of `from_functions`, some of them changed."""
    right = {
        "init": lambda key: {"w": jax.random.normal(key, (6, 3))},
        "apply": lambda params, inputs: inputs @ params["w"],
        "name": "linear",
        "inputs": DATASET.train.images,
    }
    return right | changes


def stateful(init=None, apply=None):
    def usual_init(key):
        return {"w": jax.random.normal(key, (6, 3))}, {"n": jnp.zeros(2)}

    def usual_apply(params, state, inputs, train):
        return inputs @ params["w"], state

    return linear(init=init or usual_init, apply=apply or usual_apply, state=True)


REFUSED = {
    "a Python number": (
        linear(init=lambda key: {"w": jax.random.normal(key, (6, 3)), "scale": 0.5}),
        "init of the model 'linear' returned 0.5 as params/scale; .* arrays alone",
    ),
    "a function among the params": (
        linear(init=lambda key: {"w": jax.random.normal(key, (6, 3)), "f": jnp.tanh}),
        "params/f; .* arrays alone",
    ),
    "integers in params": (
        linear(init=lambda key: [jax.random.randint(key, (6, 3), 0, 9)]),
        "params/0 of dtype int32; .* floating",
    ),
    "a key": (
        stateful(lambda key: ({"w": jax.random.normal(key, (6, 3))}, [key])),
        "a key as state/0; .*key_data",
    ),
    "no params": (linear(init=lambda key: {}), "without arrays"),
    "params for a function": (linear(init={"w": 1}), "init .* must be a function"),
    "apply no function": (linear(apply=None), "apply .* must be a function"),
    "init without a key": (linear(init=lambda: {}), r"raised TypeError .*init\(key\)"),
    "one output": (linear(apply=lambda p, x: (x @ p["w"])[:, 0]), r"logits, floating"),
    "the loss": (linear(apply=lambda p, x: (x @ p["w"]).mean()), r"float32\[\] for 13"),
    "classes first": (
        linear(apply=lambda p, x: (x @ p["w"]).T),
        r"float32\[3, 13\] for 13 inputs; .* logits, floating \[13, classes\]",
    ),
    "one logit": (linear(apply=lambda p, x: x[:, :1]), "at least 2 classes"),
    "classes": (linear(apply=lambda p, x: (x @ p["w"]).argmax(1)), "int32.*13"),
    "another shape of inputs": (
        linear(inputs=np.zeros((4, 5), np.float32)),
        "apply .* raised TypeError",
    ),
    "state not said": (
        stateful() | {"state": False},
        "apply .* raised TypeError|returned",
    ),
    "state said of none": (linear(state=True), r"return \(params, state\)"),
    "state not returned": (
        stateful(apply=lambda p, s, x, train: x @ p["w"]),
        r"state=True; it must return \(logits, state\)",
    ),
    "state of another shape": (
        stateful(apply=lambda p, s, x, train: (x @ p["w"], {"n": jnp.zeros(3)})),
        r"keep its structure, shapes and dtypes",
    ),
    "activations no dict": (
        linear(activations=lambda p, x: x),
        r"dict of arrays \[samples, units\]",
    ),
    "no inputs": (linear(inputs=3), "inputs=of type int; .* batch"),
    "a name with a slash": (linear(name="a/b"), "name='a/b'"),
    "branches on values": (
        linear(apply=lambda p, x: x @ p["w"] if x[0, 0] > 0 else x[:, :3]),
        "TracerBoolConversionError",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_functions_that_are_refused(case, unchecked):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        unchecked(outside).from_functions(**arguments)


def test_the_right_ones_are_not_refused():
    of = models.from_functions(**linear(activations=lambda p, x: {"in": x}))
    assert (of.classes, of.family, of.image_shape) == (3, "linear", (6,))
    assert of.activations({"w": jnp.zeros((6, 3))}, jnp.zeros((2, 6)))["in"].shape == (
        2,
        6,
    )
    assert models.from_functions(**linear()).activations is None
    models.from_functions(**stateful())
    with pytest.raises(ValueError, match=r"made for \('n', 6\)"):
        of.apply({"w": jnp.zeros((6, 3))}, jnp.zeros((2, 7)))


def test_an_init_that_ignores_its_key_is_said():
    drawn = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.warns(UserWarning, match="does not use its key"):
        models.from_functions(**linear(init=lambda key: {"w": drawn}))


# ---- named in a config ----


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("outside_networks", "must be 'package.module:function'"),
        (":plain", "must be 'package.module:function'"),
        ("no_such.module:f", "no module 'no_such'.*python -m"),
        ("linconn_jax.no_such:f", "no module 'linconn_jax.no_such'"),
        ("outside_networks:simple", r"outside_networks.py\) has no 'simple'"),
        ("outside_networks:NOT_A_FUNCTION", "type int; it must be a function"),
    ],
)
def test_names_that_are_refused(name, message):
    with pytest.raises(ValueError, match=f"model.function='{name}'.*{message}"):
        models.from_settings({"function": name}, DATASET, 8)


def test_a_missing_dependency_of_the_module_is_no_missing_module(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import not_installed_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        functions.load_function("needs_more:f")
    sys.modules.pop("needs_more", None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "outside_networks:plain", "width": 1}, r"settings \['width'\]"),
        (
            {"function": "outside_networks:plain", "dept": 1},
            "takes the arguments .*dept",
        ),
        ({"function": "outside_networks:nothing"}, "returned NoneType; .*models.Model"),
        ({"function": "outside_networks:odd"}, "the dict that .* aply"),
        ({"function": "outside_networks:plain", "family": "mlp"}, "one of the two"),
        ({}, "one of the two"),
    ],
)
def test_settings_of_models_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        models.from_settings(settings, DATASET, 8)


def test_settings_of_models():
    assert len(model("plain", depth=3).signature["variables"]) == 8
    assert model("plain").name == "plain-8"
    assert [model(n).family for n in ("plain", "equinox", "of_nnx")] == [
        "plain-W",
        "eqx-W",
        "nnx-W",
    ]
    of = models.from_settings(
        {"family": "mlp", "depth": 2, "function": None}, DATASET, 8
    )
    assert (of.name, of.family) == ("mlp-2x8-relu-none", "mlp-2xW-relu-none")
    assert run(trainer(of), 6).variables["params"]["dense_1"]["kernel"].shape == (
        2,
        6,
        8,
    )
    for family in ("vgg", "resnet"):
        with pytest.raises(ValueError, match=r"shape \(6,\).*takes images"):
            models.from_settings({"family": family}, DATASET, 8)


def test_a_model_for_other_data_is_refused():
    settings = {"function": "outside_networks:fixed"}
    with pytest.raises(
        ValueError, match=r"shape \(5,\) and has 2 classes.*\(6,\) and 3"
    ):
        models.from_settings(settings, DATASET, 8)


# ---- data ----


def test_data_from_arrays():
    given = outside_networks.clusters()
    assert DATASET.train.images.dtype == np.float32
    assert DATASET.train.labels.dtype == np.int32
    assert (DATASET.classes, DATASET.image_shape) == (3, (6,))
    assert (DATASET.mean, DATASET.std) == ((0.0,), (1.0,))
    np.testing.assert_allclose(DATASET.test.images, given["test"][0], rtol=1e-6)
    assert not DATASET.train.images.flags.writeable
    again = data.from_arrays("other", **given)
    assert again.digest == DATASET.digest
    given["train"][0][3, 4] += 1
    assert data.from_arrays("other", **given).digest != DATASET.digest
    assert again.train.images[3, 4] != np.float32(given["train"][0][3, 4])
    assert data.from_arrays("other", **given, classes=4).digest != DATASET.digest


def test_own_uint8_images_are_as_loaded_ones(tmp_path):
    loaded = data.load("digits", data_dir=tmp_path)
    splits = {
        name: (jnp.asarray(part.images), part.labels.astype(np.int64))
        for name, part in (("train", loaded.train), ("test", loaded.test))
    }
    own = data.from_arrays("mine", **splits)
    assert own.digest == loaded.digest
    np.testing.assert_allclose(own.mean + own.std, loaded.mean + loaded.std, atol=1e-4)
    given = data.from_arrays("mine", **splits, mean=(0.5,), std=(0.5,))
    assert (given.mean, given.std) == ((0.5,), (0.5,))
    assert given.digest != loaded.digest


ONE = np.zeros((4, 6), np.float32), np.arange(4) % 3
IMAGES = np.zeros((4, 8, 8, 3), np.uint8), np.arange(4) % 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": ONE[0]}, r"must be \(inputs, labels\)"),
        ({"train": (ONE[0], ONE[1][:3])}, "train has inputs of shape .*at least one"),
        ({"test": (ONE[0][:0], ONE[1][:0])}, "at least one"),
        ({"test": (ONE[0][:, :5], ONE[1])}, "train and test differ"),
        ({"train": (np.full((4, 6), np.nan), ONE[1])}, "not finite .*example 0"),
        ({"train": (np.full((4, 6), 1e300), ONE[1])}, "not finite in float32"),
        ({"train": (ONE[0].astype(int), ONE[1])}, "dtype int64; they must be uint8"),
        ({"train": (ONE[0], ONE[1].astype(float))}, "labels of dtype float64"),
        ({"train": (ONE[0], np.eye(4, dtype=int))}, "one-hot"),
        ({"train": (ONE[0], ONE[1] - 1)}, "from -1 to"),
        ({"train": (ONE[0], ONE[1].astype(np.int64) + 2**32)}, "from 4294967296 to"),
        ({"classes": 2}, "classes=2; .* labels go to 2"),
        ({"mean": (0.5,)}, "floats, which are taken as normalised"),
        ({"train": IMAGES, "test": IMAGES, "mean": (0.5,)}, "3 finite numbers"),
        ({"train": IMAGES, "test": IMAGES, "std": (1, 1, 0)}, "positive ones"),
        ({"name": ""}, "needs a name"),
    ],
)
def test_arrays_that_are_refused(changes, message, unchecked):
    given = {"name": "mine", "train": ONE, "test": ONE} | changes
    with (
        np.errstate(over="ignore"),
        pytest.raises(ValueError, match=message),
    ):
        unchecked(data.outside).from_arrays(**given)


def test_settings_of_data():
    named = {"function": "outside_networks:clusters"}
    found = data.from_settings({**named, "examples": 50, "mock": None})
    assert (found.name, found.train.examples) == ("clusters", 50)
    assert data.from_settings(named).digest == DATASET.digest
    fewer = data.from_settings({**named, "name": "few", "train_examples": 20})
    assert (fewer.name, fewer.train.examples, fewer.test.examples) == ("few", 20, 96)
    assert fewer.digest != DATASET.digest
    for wrong, message in (
        ({**named, "mock": 4}, "'mock': 4"),
        ({**named, "exampels": 4}, "takes the arguments .*exampels"),
        ({**named, "test_examples": 97}, "test_examples=97.* 96"),
        ({"function": "outside_networks:nothing"}, "returned NoneType; .*data.Dataset"),
    ):
        with pytest.raises(ValueError, match=message):
            data.from_settings(wrong)


def test_augmentation_is_for_images():
    assert data.augment.by_name("none", (6,))
    assert data.augment.by_name("flip", (8, 8, 3))
    with pytest.raises(ValueError, match=r"'crop', which takes images.*\(6,\)"):
        data.augment.by_name("crop", (6,))
