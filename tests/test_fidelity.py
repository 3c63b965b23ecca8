"""What the authors' runs do otherwise, as settings; see docs/fidelity.md."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synthetic_study import settings as small

from experiments import strong
from linconn_jax import align, data, models, permutation, trees
from linconn_jax.permutation import Axes
from linconn_jax.study import AlignmentKey, Inverted, Study, once, pair, through

SHAPE = dict(image_shape=(4, 4, 3), classes=3, mean=(0.5,) * 3, std=(0.3,) * 3)
KEY = jax.random.key(0)
WEIGHTS = align.method("weight_matching")


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


def noisy(model, seed):
    """A network whose biases and scales are no constants."""
    variables = model.init(jax.random.key(seed))
    leaves, structure = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(seed + 100), len(leaves))
    pairs = zip(leaves, keys, strict=True)
    return structure.unflatten(
        [x + 0.3 * jax.random.normal(key, x.shape) for x, key in pairs]
    )


# ---- what of the parameters weight matching compares ----


def mlp(norm):
    return models.build("mlp", width=12, depth=2, norm=norm, **SHAPE)


def matched(model, a, b, **options):
    context = align.Context(permutation.bind(model.spec, a))
    chosen = WEIGHTS.settings(**options)
    WEIGHTS.check(context, model.shapes, chosen)
    return WEIGHTS(context, (a, b), KEY, chosen)


def changed(tree, names):
    """The tree with all leaves of these names drawn anew, and large."""

    def one(path, leaf):
        if path[-1].key not in names:
            return leaf
        return 5 * jax.random.normal(jax.random.key(7), leaf.shape)

    return jax.tree_util.tree_map_with_path(one, tree)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize(
    ("leave_out", "blind", "seeing"),
    [
        ("nothing", {"mean", "var"}, {"bias"}),
        ("biases", {"bias", "mean", "var"}, {"kernel"}),
        ("vectors", {"bias", "scale", "mean", "var"}, {"kernel"}),
    ],
)
def test_what_is_left_out_of_the_objective(norm, leave_out, blind, seeing):
    model = mlp(norm)
    a, b = noisy(model, 1), noisy(model, 2)
    found = matched(model, a, b, leave_out=leave_out)
    other = matched(model, a, changed(b, blind), leave_out=leave_out)
    assert other.permutation == found.permutation
    assert other.objective == found.objective
    for names in (seeing, {"scale"} if leave_out == "biases" else seeing):
        moved = changed(b, names)
        if norm != "none" or names != {"scale"}:
            told = matched(model, a, moved, leave_out=leave_out)
            assert told.objective != found.objective


def test_the_objective_without_biases_by_hand():
    model = mlp("layer")
    a, b = noisy(model, 1), noisy(model, 2)
    found = matched(model, a, b, leave_out="biases")
    named = jax.tree_util.tree_leaves_with_path(found.apply(b))
    sums = {
        trees.path_name(path): np.vdot(np.float64(x), np.float64(y))
        for (path, y), x in zip(named, jax.tree.leaves(a), strict=True)
    }
    kept = sum(x for path, x in sums.items() if not path.endswith("/bias"))
    labelled = sum(x for path, x in sums.items() if path != "params/head/bias")
    assert found.objective == pytest.approx(kept, rel=1e-5)
    assert found.objective != pytest.approx(labelled, rel=1e-3)


def test_a_network_that_has_none_of_them_is_told():
    spec = {"w": Axes("h", None), "v": Axes(None, "h")}
    network = {"w": np.ones((3, 2), np.float32), "v": np.ones((2, 3), np.float32)}
    for leave_out in ("biases", "vectors"):
        with pytest.raises(ValueError, match="leaves out nothing .*'nothing'"):
            WEIGHTS.check(align.Context(spec), network, WEIGHTS.settings(leave_out))
    WEIGHTS.check(align.Context(spec), network, WEIGHTS.settings("nothing"))


def test_keys_of_alignments_stay_until_something_is_chosen(tmp_path):
    def identity(**changes):
        study = Study(small(**changes), tmp_path)
        networks = study.network(3, 0), study.network(3, 1)
        return AlignmentKey("weight_matching", networks).identity(study)["options"]

    assert identity() == {}
    assert identity(weight_matching__leave_out="biases") == {"leave_out": "biases"}
    assert identity(weight_matching__accept="absolute") == {"accept": "absolute"}


# ---- when an assignment is taken ----


def tiny(gain, size=1.0):
    """Two units, and what swapping them gains: `gain` x `size`² of about 2 x `size`²."""
    spec = {"w": Axes("h", None)}
    a = np.array([[1.0, 0.0], [1.0, gain]], np.float32)
    b = np.array([[1.0, 1.0], [1.0, 0.0]], np.float32)
    return spec, {"w": np.float32(size) * a}, {"w": np.float32(size) * b}


@pytest.mark.parametrize(
    ("gain", "size", "taken"),
    [
        (1e-2, 1.0, {"relative", "absolute"}),
        (1e-7, 1.0, {"absolute"}),
        (1e-2, 1e-6, {"relative"}),
    ],
)
def test_which_gains_are_taken(gain, size, taken):
    for accept in ("relative", "absolute"):
        found = align.weight_matching(*tiny(gain, size), key=KEY, accept=accept)
        moved = [int(i) for i in found.permutation["h"]] == [1, 0]
        assert moved == (accept in taken), accept
    with pytest.raises(ValueError, match="accept='never'; it must be one of"):
        align.weight_matching(*tiny(gain), key=KEY, accept="never")


# ---- through a third network ----


def asked(study):
    return [
        task
        for task in strong.EXPERIMENT.tasks(study)
        if hasattr(task, "vertices") and len(task.vertices) == 2
    ]


def test_through_a_third_network_by_one_fit_of_each_pair(tmp_path):
    plain, study = (
        Study(
            small(strong__through=way, pairs=None, seeds=5, strong__simplices=()), room
        )
        for way, room in (("each", tmp_path / "a"), ("inverse", tmp_path / "b"))
    )
    fits = {key for task in asked(study) for key in task.alignments}
    pairs = [tuple(sorted(x.seed for x in key.networks)) for key in fits]
    assert sorted(pairs) == list(itertools.combinations(range(5), 2))
    assert {key for task in asked(plain) for key in task.alignments} > fits
    ways = [
        {tuple(v.columns(s)["seed"] for v in task.vertices) for task in asked(s)}
        for s in (plain, study)
    ]
    assert ways[0] == ways[1]
    for task in asked(study):
        key = task.key(study)
        if key["path"] == "through":
            a, b = key["seeds"]
            assert key["reference"] == strong.third(study.seeds, a, b)


def test_an_inverse_moves_the_other_way(tmp_path):
    study = Study(small(), tmp_path)
    study.train()
    first, second = study.network(3, 0), study.network(3, 1)
    order = [first, second]
    moved = once(second, first, method="random", order=order)
    assert moved == pair(first, second, method="random")[1]
    back = once(first, second, method="random", order=order)
    assert isinstance(back, Inverted)
    fit = study.alignment(back.alignment)
    assert fit.permutation != permutation.inverse(fit.permutation)
    one = first.variables(study)
    jax.tree.map(np.testing.assert_array_equal, fit.apply(back.variables(study)), one)
    with pytest.raises(AssertionError):
        jax.tree.map(np.testing.assert_array_equal, fit.apply(fit.apply(one)), one)
    assert back.columns(study)["reference"] == 1
    assert back.identity(study) != dataclasses.replace(moved, network=first)
    # The same network, aligned by a fit of its own, is another vertex.
    assert through(first, second, second, method="random")[0] != back


# ---- ImageNet's constants ----


def test_other_constants_are_another_data_set(tmp_path):
    own = data.load("cifar10", mock=8, data_dir=tmp_path)
    other = data.normalized(own, "imagenet")
    assert data.normalized(own, "own") is own
    assert (other.mean, other.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert other.train is own.train
    assert other.digest != own.digest
    given = {"name": "cifar10", "mock": 8, "data_dir": tmp_path}
    read = data.from_settings({**given, "normalization": "imagenet"})
    assert (read.digest, read.mean) == (other.digest, other.mean)
    assert data.from_settings({**given, "normalization": "own"}).digest == own.digest
    assert data.from_settings(given).digest == own.digest
    built = [
        models.from_settings({"family": "mlp", "depth": 1}, x, 4) for x in (own, other)
    ]
    variables = built[1].init(KEY)
    images = own.train.images
    by_hand = (images / 255 - np.array(other.mean)) / np.array(other.std)
    logits = built[1].apply(variables, images)
    exact = built[1].apply(variables, jnp.float32(by_hand))
    np.testing.assert_allclose(logits, exact, atol=1e-5)
    assert np.abs(built[0].apply(variables, images) - exact).max() > 1e-2


def grey():
    images = np.arange(2 * 4 * 4 * 1, dtype=np.uint8).reshape(2, 4, 4, 1)
    return {"train": (images, np.arange(2)), "test": (images, np.arange(2))}


def test_constants_of_colours_are_for_colours(unchecked):
    made = data.from_arrays("grey", **grey())
    with pytest.raises(ValueError, match=r"RGB .* 4, 4, 1\]: normalization='own'"):
        data.normalized(made, "imagenet")
    with pytest.raises(ValueError, match="normalization='mine'; it must be one of own"):
        data.normalized(made, "mine")


# ---- an epoch with its last batch ----


def test_a_study_whose_epochs_end_with_a_smaller_batch(tmp_path):
    plain, kept = (
        Study(small(train__batch_size=10, train__partial_batch=on), tmp_path / str(on))
        for on in (False, True)
    )
    runs = [study.runs(3) for study in (plain, kept)]
    assert [x.recipe.steps_per_epoch for x in runs] == [3, 4]
    assert [x.steps for x in runs] == [(0, 3, 6), (0, 4, 8)]
    assert "partial_batch" not in runs[0].recipe.definition["train"]
    assert runs[1].recipe.definition["train"]["partial_batch"] is True
    trainer = runs[1].recipe.trainer(1)
    assert trainer.steps_per_epoch == runs[1].recipe.steps_per_epoch
