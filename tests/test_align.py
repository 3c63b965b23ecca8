"""Alignment: planted permutations, brute force, invariances, refusals."""

import dataclasses
import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import align, models, trees
from linconn_jax import permutation as pm
from linconn_jax.align import Method, activation_matching, assignment, weight_matching
from linconn_jax.permutation import Axes

activation_matching_module, weight_matching_module = (
    importlib.import_module(f"linconn_jax.align.{name}")
    for name in ("_activation_matching", "_weight_matching")
)
IMAGES = dict(image_shape=(8, 8, 1), classes=10, mean=(0.3,), std=(0.4,))


def mlp(width=12, depth=2, norm="none"):
    return models.build("mlp", width=width, depth=depth, norm=norm, **IMAGES)


def random_like(tree, seed):
    """Every leaf drawn at random: at initialisation a wrong spec can pass."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    drawn = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def network(model, seed):
    return random_like(jax.eval_shape(model.init, jax.random.key(0)), seed)


def pixels(n=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype(np.uint8)


def match(model, a, b, **options):
    return weight_matching(model.spec, a, b, key=jax.random.key(0), **options)


def match_activations(model, a, b, **options):
    return activation_matching(model.spec, model.apply, a, b, pixels(), **options)


DEPTHS = {"mlp": 3, "vgg": 11, "resnet": 8}


def planted(family, seed=1):
    """A model, a random network of it, a random group element, and the moved network."""
    model = models.build(family, width=6, depth=DEPTHS[family], **IMAGES)
    a = network(model, seed)
    p = pm.random(jax.random.key(seed + 1), model.spec, a)
    return model, a, p, pm.permute(model.spec, p, a)


@pytest.mark.parametrize("family", DEPTHS)
def test_weight_matching_recovers_a_planted_permutation(family):
    model, a, p, moved = planted(family)
    back = pm.compose(p, match(model, a, moved).permutation)
    assert back == pm.identity(model.spec, a)


@pytest.mark.parametrize("family", ["mlp", "resnet"])
def test_activation_matching_recovers_a_planted_permutation(family):
    model, a, _, moved = planted(family)
    found = match_activations(model, a, moved).permutation
    back = pm.permute(model.spec, found, moved)
    # Units that are dead on all images cannot be told apart, so activations are
    # compared. 1e-4: float32 through a deep network, relative to the largest.
    read = jax.jit(model.read)
    expected, unmoved = read(a, pixels()), read(moved, pixels())
    for name, x in read(back, pixels()).items():
        np.testing.assert_allclose(
            expected[name], x, atol=1e-4 * np.abs(expected[name]).max()
        )
    assert any(np.abs(x - unmoved[name]).max() > 1e-2 for name, x in expected.items())


def test_the_inverse_direction_would_not_pass_for_a_recovery():
    model = mlp()
    a = network(model, 1)
    planted = pm.random(jax.random.key(2), model.spec, a)
    found = match(model, a, pm.permute(model.spec, planted, a)).permutation
    wrong = pm.compose(planted, pm.inverse(found))
    agreement = pm.agreement(wrong, pm.identity(model.spec, a))
    assert pm.overall(agreement, wrong) < 0.7


def objective(model, a, b, p):
    moved = pm.permute(model.spec, p, b)
    # head/bias carries no axis name: it never moves and never counts.
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(a["params"]),
        jax.tree.leaves(moved["params"]),
        strict=True,
    )
    return sum(
        np.vdot(np.float64(x), np.float64(y))
        for (path, x), y in pairs
        if trees.path_name(path) != "head/bias"
    )


def everything(units):
    orders = [list(itertools.permutations(range(n))) for n in units.values()]
    for choice in itertools.product(*orders):
        yield dict(zip(units, map(np.array, choice), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_one_layer_is_solved_exactly(seed):
    model = mlp(width=5, depth=1)
    a, b = network(model, seed), network(model, seed + 10)
    found = match(model, a, b)
    units = pm.sizes(model.spec, a)
    best = max(objective(model, a, b, p) for p in everything(units))
    # 1e-5: float32 similarities of about 75 products each against a float64 oracle.
    assert found.objective == pytest.approx(best, rel=1e-5)
    assert found.objective == pytest.approx(
        objective(model, a, b, found.permutation), rel=1e-5
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_single_layer_can_be_improved_at_the_end(seed):
    model = mlp(width=4, depth=3)
    a, b = network(model, seed), network(model, seed + 10)
    found = match(model, a, b)
    assert found.converged
    reached = objective(model, a, b, found.permutation)
    for name in found.permutation:
        for order in itertools.permutations(range(4)):
            other = {**found.permutation, name: found.permutation[name][list(order)]}
            assert objective(model, a, b, other) <= reached * (1 + 1e-5)


def test_the_objective_rises_from_the_naive_one():
    model = mlp(norm="layer")
    a, b = network(model, 1), network(model, 2)
    found = match(model, a, b)
    one = pm.identity(model.spec, b)
    assert found.naive == pytest.approx(objective(model, a, b, one), rel=1e-5)
    assert found.objective > found.naive


def test_the_start_is_used():
    model = mlp()
    a = network(model, 1)
    planted = pm.random(jax.random.key(2), model.spec, a)
    b = pm.permute(model.spec, planted, a)
    found = match(model, a, b, initial=pm.inverse(planted), max_sweeps=1)
    assert found.converged  # nothing was left to improve
    undone = pm.permute(model.spec, found.permutation, b)
    jax.tree.map(np.testing.assert_array_equal, undone, a)
    assert not match(model, a, b, max_sweeps=1).converged


def test_running_statistics_never_enter():
    model = mlp(norm="batch")
    a, b = network(model, 1), network(model, 2)
    stats = jax.tree.map(lambda x: 100 * x[::-1], b["batch_stats"])
    found = match(model, a, b).permutation
    same = match(model, a, {**b, "batch_stats": stats}).permutation
    assert found == same


def flat(tree):
    """A network of batch norm as one dict, which has no `params`."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {trees.path_name(path): leaf for path, leaf in found}


def test_running_statistics_never_enter_whatever_the_tree_is_called():
    model = mlp(norm="batch")
    a, b = network(model, 1), network(model, 2)
    b = {**b, "batch_stats": jax.tree.map(lambda x: 100 * x[::-1], b["batch_stats"])}
    right = match(model, a, b)
    structure = jax.tree.structure(model.shapes)
    names = list(flat(model.shapes))

    def apply(leaves, x):
        return model.apply(structure.unflatten([leaves[n] for n in names]), x)

    spec = pm.discover(apply, flat(a), jnp.zeros((4, *model.image_shape)))
    assert {n for n, axes in spec.items() if axes.state} == {
        n for n in names if n.startswith("batch_stats")
    }
    by_hand = {n: Axes(*axes.labels) for n, axes in spec.items()}
    chosen = {n: n.startswith("params") for n in names}
    for wanted, options in (
        (spec, {}),
        (by_hand, {"leaves": lambda path: path.startswith("params")}),
        (by_hand, {"leaves": chosen}),
    ):
        given = wanted, flat(a), flat(b)
        found = weight_matching(*given, key=jax.random.key(0), **options)
        assert found.objective == right.objective
        undone = found.apply(flat(b))
        assert all(
            (x == y).all()
            for x, y in zip(undone.values(), flat(right.apply(b)).values(), strict=True)
        )
    drowned = weight_matching(by_hand, flat(a), flat(b), key=jax.random.key(0))
    assert drowned.objective > 10 * right.objective
    for wrong in (lambda _: False, {}, lambda path: 1, {**chosen, names[0]: 2}):
        with pytest.raises(ValueError, match="leaves=.* chooses no leaf to fit"):
            weight_matching(spec, flat(a), flat(b), key=jax.random.key(0), leaves=wrong)


def test_every_labelled_parameter_enters():
    model = mlp(width=6, depth=1, norm="layer")
    base = network(model, 1)
    zero = jax.tree.map(jnp.zeros_like, base)
    planted = pm.random(jax.random.key(3), model.spec, base)
    for path, leaf in jax.tree_util.tree_leaves_with_path(base):
        if trees.path_name(path) == "params/head/bias":
            continue
        only = jax.tree_util.tree_map_with_path(
            lambda p, z, path=path, leaf=leaf: leaf if p == path else z, zero
        )
        found = match(model, only, pm.permute(model.spec, planted, only)).permutation
        back = pm.compose(planted, found)["dense_1"]
        np.testing.assert_array_equal(back, np.arange(6), err_msg=str(path))


def test_a_leaf_with_one_name_on_two_axes_never_falls():
    spec = {"recurrent": Axes("h", "h"), "in": Axes(None, "h")}
    for seed in range(5):
        keys = jax.random.split(jax.random.key(seed), 4)
        a, b = (
            {
                "recurrent": jax.random.normal(one, (9, 9)),
                "in": jax.random.normal(two, (3, 9)),
            }
            for one, two in (keys[:2], keys[2:])
        )
        found = weight_matching(spec, a, b, key=jax.random.key(0))
        assert found.objective >= found.naive
        moved = pm.permute(spec, found.permutation, b)
        direct = sum(np.vdot(np.float64(a[n]), np.float64(moved[n])) for n in a)
        assert found.objective == pytest.approx(direct, rel=1e-5)


@pytest.mark.parametrize("similarity", align.SIMILARITIES)
def test_activation_similarities_against_numpy(similarity):
    model = mlp(width=5, depth=1)
    a, b = network(model, 1), network(model, 2)
    images = pixels(50)
    h, g = (np.float64(model.read(v, images)["dense_1"]) for v in (a, b))
    if similarity in ("centred", "pearson"):
        h, g = h - h.mean(0), g - g.mean(0)
    if similarity in ("pearson", "cosine"):
        h, g = (x / np.sqrt((x**2).mean(0)) for x in (h, g))
    gram = h.T @ g / 50
    best = max(
        gram[np.arange(5), list(p)].sum() for p in itertools.permutations(range(5))
    )
    for batch_size in (
        50,
        7,
        500,
    ):  # a batch that divides, one that does not, one larger
        found = activation_matching(
            model.spec,
            model.apply,
            a,
            b,
            images,
            similarity=similarity,
            batch_size=batch_size,
        )
        assert found.objective == pytest.approx(best, rel=1e-4)
        assert found.naive == pytest.approx(np.trace(gram), rel=1e-4)


def test_methods_run_in_float32_whatever_the_device_would_do():
    model, seen = mlp(), []

    def activations(variables, images):
        seen.append(jax.config.jax_default_matmul_precision)
        return model.read(variables, images)

    def find(context, networks, key, settings):
        seen.append(jax.config.jax_default_matmul_precision)
        return align.Alignment(context.spec, (pm.identity(model.spec, a),) * 2)

    a, b = network(model, 1), network(model, 2)
    with jax.default_matmul_precision("bfloat16"):
        activation_matching(model.spec, None, a, b, pixels(), activations=activations)
        context = align.Context(spec=model.spec)
        align.Method("theirs", find)(context, [a, b], jax.random.key(0))
        assert jax.config.jax_default_matmul_precision == "bfloat16"  # outside
    assert len(seen) > 2
    assert set(seen) == {"float32"}


def test_dead_units_do_not_make_correlations_nan():
    model = mlp(width=5, depth=1)
    a = network(model, 1)
    dead = jax.tree.map(lambda x: x, a)
    dead["params"]["dense_1"] = {
        "kernel": a["params"]["dense_1"]["kernel"].at[:, 0].set(0.0),
        "bias": a["params"]["dense_1"]["bias"].at[0].set(-1.0),
    }
    for similarity in ("pearson", "cosine"):
        found = match_activations(model, dead, dead, similarity=similarity)
        assert np.isfinite(found.objective)
        np.testing.assert_array_equal(found.permutation["dense_1"], np.arange(5))


AFFINE = {"kernel": Axes(None, "units"), "bias": Axes("units"), "size": Axes()}


def affine(variables, x):
    return {
        "units": (x @ variables["kernel"] + variables["bias"][None]) * variables["size"]
    }


def match_affine(similarity, bias=0.0, deviation=1.0, size=1.0):
    """The share of 16 units that is recovered, the alignment, and the activations."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2000, 10)).astype(np.float32)
    a = {
        "kernel": (deviation * rng.normal(size=(10, 16))).astype(np.float32),
        "bias": np.full(16, bias, np.float32),
        "size": np.float32(size),
    }
    hidden = pm.random(jax.random.key(1), AFFINE, a)
    b = pm.permute(AFFINE, hidden, a)
    found = activation_matching(
        AFFINE, None, a, b, images, activations=affine, similarity=similarity
    )
    back = pm.compose(hidden, found.permutation)["units"]
    return np.mean(back == np.arange(16)), found, np.float64(affine(a, images)["units"])


@pytest.mark.parametrize("similarity", ["raw", "pearson", "cosine"])
@pytest.mark.parametrize(
    ("bias", "deviation", "size"),
    [
        (3e3, 1.0, 1.0),
        (1e5, 1.0, 1.0),
        (100.0, 0.1, 1.0),
        (0.0, 1.0, 1e-20),
        (0.0, 1.0, 1e20),
        (2.0, 1.0, 1e37),
    ],
)
def test_activations_of_any_mean_and_size(similarity, bias, deviation, size):
    share, found, h = match_affine(similarity, bias, deviation, size)
    assert share == 1
    best = (h**2).mean(axis=0).sum() if similarity == "raw" else 16
    # 1e-5: sums of 2000 products in float32, of deviations from the mean.
    assert found.objective == pytest.approx(best, rel=1e-5, abs=0)


def test_a_constant_unit_correlates_with_nothing():
    # The mean of 0.1s is not exact in float32, and neither is 0.1.
    for bias in (0.1, 3e3):
        assert match_affine("pearson", bias, deviation=0.0)[1].objective == 0


def test_activations_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match="activations of 'units' hold .* not finite"):
        match_affine("raw", size=np.inf)


NORMED = {"in": Axes(None, "a"), "scale": Axes("a"), "out": Axes("a", None)}


def match_normed(mean=0.0, deviation=1.0, sizes=(1.0, 1.0), dtype=np.float32):
    """The share of 64 units recovered, the alignment, its objective at size 1."""
    rng = np.random.default_rng(0)
    drawn = {
        "in": mean + deviation * rng.normal(size=(20, 64)),
        "scale": np.ones(64),
        "out": mean + deviation * rng.normal(size=(64, 20)),
    }
    hidden = pm.random(jax.random.key(1), NORMED, drawn)
    moved = pm.permute(NORMED, hidden, drawn)
    a, b = (
        {name: (size * x).astype(dtype) for name, x in tree.items()}
        for size, tree in zip(sizes, (drawn, moved), strict=True)
    )
    found = weight_matching(NORMED, a, b, key=jax.random.key(0))
    back = pm.compose(hidden, found.permutation)["a"]
    best = sum(np.vdot(x, x) for x in drawn.values())
    return np.mean(back == np.arange(64)), found, best


@pytest.mark.parametrize(
    ("sizes", "dtype"),
    [
        ((1e-23, 1e-23), np.float32),
        ((1e25, 1e25), np.float32),
        ((1e30, 1e-30), np.float32),
        ((1e-150, 1e-150), np.float64),
        ((1e150, 1e150), np.float64),
    ],
)
def test_weights_of_any_size(sizes, dtype):
    share, found, best = match_normed(sizes=sizes, dtype=dtype)
    assert share == 1
    assert found.objective / sizes[0] / sizes[1] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.0, 1e-4), (0.0, 1e-6), (1e4, 1.0), (-1e5, 1.0)]
)
def test_what_all_units_share_hides_nothing(mean, deviation):
    share, found, best = match_normed(mean, deviation)
    assert share == 1
    assert found.objective == pytest.approx(best, rel=1e-6)


def test_networks_on_two_devices_are_matched():
    model, a, p, moved = planted("mlp")
    # Placed, they stay where they are: JAX would not multiply them.
    a, moved = map(jax.device_put, (a, moved), jax.devices()[:2])
    found = match(model, a, moved).permutation
    assert pm.compose(p, found) == pm.identity(model.spec, a)


CODES = {
    "params": {"kernel": Axes(None, "units"), "mask": Axes(None)},
    "state": {"codes": Axes("codes", None)},
}


def codes(seed):
    """A network with a mask of infinities and with names outside of `params`."""
    rng = np.random.default_rng(seed)
    kernel, codes = rng.normal(size=(3, 5)), rng.normal(size=(4, 2))
    params = {
        "kernel": kernel.astype(np.float32),
        "mask": np.full(2, -np.inf, np.float32),
    }
    return {"params": params, "state": {"codes": codes.astype(np.float32)}}


def test_names_outside_of_params_stay():
    a, b = codes(0), codes(1)
    found = weight_matching(CODES, a, b, key=jax.random.key(0)).permutation
    moved = pm.permute(CODES, found, b)
    np.testing.assert_array_equal(moved["state"]["codes"], b["state"]["codes"])
    assert not np.array_equal(moved["params"]["kernel"], b["params"]["kernel"])
    again = weight_matching(CODES, a, b, key=jax.random.key(0), initial=found)
    assert again.permutation == found
    assert again.sweeps == 1


def test_nothing_to_match_is_matched():
    for shape, label in (((3,), None), ((3, 0), "units"), ((0, 3), "units")):
        spec = {"w": Axes(*(None,) * (len(shape) - 1), label)}
        w = {"w": np.zeros(shape, np.float32)}
        found = weight_matching(spec, w, w, key=jax.random.key(0))
        assert found.converged
        assert found.permutation == pm.identity(spec, w)


def test_leaves_that_cannot_be_compared_are_named():
    a, wrong = codes(0), codes(0)
    wrong["params"]["kernel"][1, 2] = np.inf
    with pytest.raises(ValueError, match="kernel holds numbers that are not finite"):
        weight_matching(CODES, a, wrong, key=jax.random.key(0))
    wrong["params"]["kernel"] = np.ones((3, 5), np.complex64)
    with pytest.raises(ValueError, match="kernel has dtype complex64"):
        weight_matching(CODES, wrong, a, key=jax.random.key(0))


def nan_like(tree):
    return jax.tree.map(lambda x: x * np.nan, tree)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, v: match(m, v, network(mlp(width=13), 1)), "in the reference"),
        (lambda m, v: match(m, v, nan_like(v)), "not finite"),
        (lambda m, v: match(m, v, {"params": {}}), "different structures"),
        (
            lambda m, v: match(m, trees.stack([v, v]), trees.stack([v, v])),
            "one network",
        ),
        (lambda m, v: match_activations(m, v, v, similarity="x"), "similarity='x'"),
        (lambda m, v: match_activations(m, v, nan_like(v)), "not finite"),
        (
            lambda m, v: activation_matching(m.spec, m.apply, v, v, pixels(0)),
            "no inputs",
        ),
        (
            lambda m, v: match_activations(m, v, network(mlp(width=13), 1)),
            "in the reference",
        ),
        (
            lambda m, v: activation_matching(
                m.spec, None, v, v, pixels(), activations=lambda v, x: {}
            ),
            "no key for the axis names",
        ),
        (
            lambda m, v: activation_matching(
                m.spec, m.apply, v, v, pixels(), batch_size=0
            ),
            "batch_size=0",
        ),
        (
            lambda m, v: activation_matching(
                m.spec,
                None,
                v,
                v,
                np.float32(pixels()),
                activations=lambda v, x: x,
            ),
            "must return a dict",
        ),
        (lambda m, v: assignment.maximize(np.zeros((2, 3))), "must be square"),
    ],
)
def test_refused(call, message):
    model = mlp()
    with pytest.raises(ValueError, match=message):
        call(model, network(model, 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(initial="alignment"), "initial is a Alignment.* take its .permutation"),
        (dict(initial={"dense_1": [0]}), "axis names missing"),
        (dict(key=None), "key is None; it must be a key"),
        (dict(key=0), "key is 0; it must be a key"),
        (dict(max_sweeps=-1), "max_sweeps=-1; it must be an integer of at least 0"),
        (dict(max_sweeps=2.5), "max_sweeps=2.5"),
    ],
)
def test_wrong_options_of_weight_matching_are_explained(options, message, unchecked):
    model = mlp()
    v = network(model, 0)
    if options.get("initial") == "alignment":
        options = dict(initial=match(model, v, v))
    function = unchecked(weight_matching_module).weight_matching
    with pytest.raises(ValueError, match=message):
        function(model.spec, v, v, **dict(key=jax.random.key(0)) | options)


@pytest.mark.parametrize(
    ("images", "batch_size", "message"),
    [
        (list(pixels()), 8, "inputs is a list; .* numpy.stack"),
        (np.float32(0), 8, "must be an array"),
        (pixels(), 2.5, "batch_size=2.5; it must be an integer of at least 1"),
    ],
)
def test_wrong_images_are_explained(images, batch_size, message, unchecked):
    model = mlp()
    v = network(model, 0)
    function = unchecked(activation_matching_module).activation_matching
    with pytest.raises(ValueError, match=message):
        function(model.spec, model.apply, v, v, images, batch_size=batch_size)


@pytest.mark.parametrize("i", [2, -1, True, 0.0])
def test_only_networks_of_an_alignment_are_permuted(i, unchecked):
    model = mlp()
    v = network(model, 0)
    module = unchecked(importlib.import_module("linconn_jax.align.alignment"))
    found = module.Alignment(model.spec, (pm.identity(model.spec, v),) * 2)
    jax.tree.map(np.testing.assert_array_equal, found.apply(v, 0), found.apply(v, 1))
    with pytest.raises(ValueError, match=f"i={i!r}; it must be an integer from 0 to 1"):
        found.apply(v, i)


@dataclasses.dataclass(frozen=True)
class Needy:
    """A field without a default."""

    draws: int


@dataclasses.dataclass(frozen=True)
class Content:
    """Defaults of every kind, and a field that no one gives."""

    draws: int = 1
    names: list = dataclasses.field(default_factory=list)
    made: int = dataclasses.field(init=False)


def test_settings_of_a_method_must_have_defaults():
    find = lambda context, networks, key, settings: None  # noqa: E731
    Method("own", find, settings=Content)
    for wrong in (Needy, dict, int):
        with pytest.raises(ValueError, match="'own'.*fields all have defaults"):
            Method("own", find, settings=wrong)
