"""k networks aligned at once: planted permutations, what rises, agreement with pairs."""

import itertools

import jax
import numpy as np
import pytest

from linconn_jax import align, models, trees
from linconn_jax import permutation as pm
from linconn_jax.align import fused_matching, merge_many, weight_matching
from linconn_jax.permutation import Axes, Stacked

IMAGES = dict(image_shape=(8, 8, 1), classes=10, mean=(0.3,), std=(0.4,))


def network(model, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(np.float32), model.shapes
    )


def pixels(n=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype(np.uint8)


def fused(model, networks, **options):
    found = dict(
        apply=model.apply,
        inputs=pixels(),
        key=jax.random.key(0),
        restarts=1,
    )
    return fused_matching(model.spec, networks, **found | options)


def merged(model, networks, **options):
    return merge_many(model.spec, networks, key=jax.random.key(0), **options)


def weights_only(model, networks, **options):
    return fused(model, networks, activation_weight=0.0, **options)


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("method", [fused, merged, weights_only])
@pytest.mark.parametrize(
    "family", ["mlp", pytest.param("resnet", marks=pytest.mark.slow)]
)
def test_copies_of_one_network_come_together(family, method, count):
    depth = {"mlp": 3, "resnet": 8}[family]
    model = models.build(family, width=6, depth=depth, **IMAGES)
    a = network(model, 1)
    planted = [
        pm.random(jax.random.key(i), model.spec, a) if i else pm.identity(model.spec, a)
        for i in range(count)
    ]
    copies = [pm.permute(model.spec, p, a) for p in planted]
    found = method(model, copies)
    for hidden, p in zip(planted, found.permutations, strict=True):
        assert pm.compose(hidden, p) == pm.identity(model.spec, a)
    for copy in found.apply_all(copies):
        jax.tree.map(np.testing.assert_array_equal, copy, a)


def total(model, networks):
    """The sum of the inner products of all pairs, of what carries a name."""
    bound = pm.bind(model.spec, networks[0])
    named = [i for i, axes in enumerate(bound.axes) if any(axes.labels)]
    return sum(
        np.vdot(np.float64(bound.leaves(a)[i]), np.float64(bound.leaves(b)[i]))
        for a, b in itertools.combinations(networks, 2)
        for i in named
    )


def test_merge_many_climbs_the_sum_over_pairs():
    model = models.build("mlp", width=12, depth=2, norm="none", **IMAGES)
    networks = [network(model, i) for i in range(4)]
    found = merged(model, networks, restarts=3)
    moved = found.apply_all(networks)
    # 1e-6: float64 sums of float32 numbers, the means of leaves taken apart.
    assert found.naive == pytest.approx(total(model, networks), rel=1e-6, abs=1e-3)
    assert found.objective == pytest.approx(total(model, moved), rel=1e-6)
    assert found.objective == max(found.reached)
    assert len(found.reached) == 3
    assert found.reached[0] == merged(model, networks).objective
    rising = found.naive, *found.history  # 1e-6: of float32 similarities, but the last
    assert all(x <= y + 1e-6 * abs(y) for x, y in itertools.pairwise(rising))
    assert found.converged
    assert merged(model, moved).naive == pytest.approx(found.objective, rel=1e-6)


def test_of_two_networks_merge_many_is_weight_matching():
    model = models.build("mlp", width=12, depth=1, norm="none", **IMAGES)
    a, b = network(model, 1), network(model, 2)
    one = weight_matching(model.spec, a, b, key=jax.random.key(0))
    assert merged(model, [a, b]).permutations == one.permutations


def test_no_single_assignment_can_be_improved_at_the_end():
    model = models.build("mlp", width=4, depth=2, norm="none", **IMAGES)
    networks = [network(model, i) for i in range(3)]
    found = merged(model, networks)
    reached = total(model, found.apply_all(networks))
    for i, p in enumerate(found.permutations):
        for name, order in itertools.product(p, itertools.permutations(range(4))):
            other = p.replace({**p, name: p[name][list(order)]})
            moved = list(found.apply_all(networks))
            moved[i] = pm.permute(model.spec, other, networks[i])
            assert total(model, moved) <= reached * (1 + 1e-5)


def test_restarts_are_kept_and_saved(tmp_path):
    model = models.build("mlp", width=12, depth=3, norm="none", **IMAGES)
    a, b = network(model, 1), network(model, 2)
    found = weight_matching(model.spec, a, b, key=jax.random.key(0), restarts=5)
    assert len(set(found.reached)) > 1
    assert found.objective == max(found.reached)
    alone = weight_matching(model.spec, a, b, key=jax.random.key(0))
    assert found.reached[0] == alone.objective
    found.save(tmp_path / "found")
    assert align.Alignment.load(tmp_path / "found", model.spec).reached == found.reached


def enlarged(path, leaf):
    return 64 * leaf if "dense_1" in trees.path_name(path) else leaf


def test_layers_count_alike_in_fused_matching():
    """What one layer is multiplied by in all networks changes nothing."""
    model = models.build("mlp", width=6, depth=2, norm="none", **IMAGES)
    networks = [network(model, i) for i in range(3)]
    found = weights_only(model, networks)
    larger = [jax.tree_util.tree_map_with_path(enlarged, x) for x in networks]
    assert weights_only(model, larger).permutations == found.permutations
    # Each layer's own product with itself is 1 for each pair of equal networks.
    same = weights_only(model, [networks[0]] * 3)
    assert same.objective == pytest.approx(3 * 3, rel=1e-6)  # float32 weights


def near_one(scale):
    """A network of one hidden layer, with a norm layer whose scales hardly differ."""
    rng = np.random.default_rng(1)
    scales = 1 + 1e-6 * np.random.default_rng(2).normal(size=8)
    return {
        "hidden": {"kernel": rng.normal(size=(5, 8)).astype(np.float32)},
        "norm": {"scale": scales.astype(np.float32)},
        "out": {
            "kernel": np.float32(scale) * rng.normal(size=(8, 3)).astype(np.float32)
        },
    }


NEAR_ONE = {
    "hidden": {"kernel": Axes(None, "a")},
    "norm": {"scale": Axes("a")},
    "out": {"kernel": Axes("a", None)},
}


def balanced(spec, networks):
    key = jax.random.key(0)
    return fused_matching(spec, networks, key=key, activation_weight=0.0, restarts=1)


def test_a_norm_layer_near_one_counts_for_its_size_not_for_what_is_left_of_it():
    a, b = near_one(1), near_one(1)
    b["norm"]["scale"] = b["norm"]["scale"][::-1].copy()
    # Scales that come back in another order are no reason to move a unit.
    assert balanced(NEAR_ONE, [a, b]).permutation["a"].tolist() == list(range(8))


@pytest.mark.parametrize("factor", [1.004, 1.006, 3.9])
def test_of_two_networks_of_other_sizes_the_objective_is_that_of_the_formula(factor):
    a = near_one(1)
    largest = max(np.abs(x).max() for x in jax.tree.leaves(a))
    a = jax.tree.map(lambda x: x * np.float32(1.99 / largest), a)
    b = jax.tree.map(lambda x: x * np.float32(factor), a)
    wanted = 3 * 2 * factor / (1 + factor**2)  # three layers
    assert balanced(NEAR_ONE, [a, b]).objective == pytest.approx(wanted, rel=1e-6)


def test_a_stack_of_layers_counts_as_so_many_layers():
    rng = np.random.default_rng(0)
    layers = (
        rng.normal(size=(2, 6, 6)).astype(np.float32)
        * np.float32([1, 30])[:, None, None]
    )
    ends = [rng.normal(size=(6, 6)).astype(np.float32) for _ in range(2)]
    inner = Axes("a", "b"), Axes("b", "c")
    names = dict(zip(("first", "second"), inner, strict=True))
    apart = {x: {"kernel": y} for x, y in zip(names, layers, strict=True)}
    ends = {"in": {"kernel": ends[0]}, "out": {"kernel": ends[1]}}
    outer = {"in": {"kernel": Axes(None, "a")}, "out": {"kernel": Axes("c", None)}}
    unrolled = {x: {"kernel": y} for x, y in names.items()} | outer
    stacked = {"both": {"kernel": Stacked(*inner)}} | outer
    found = [
        balanced(unrolled, [apart | ends] * 2).objective,
        balanced(stacked, [{"both": {"kernel": layers}} | ends] * 2).objective,
    ]
    assert found == pytest.approx([4, 4], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(restarts=0), "restarts=0; it must be an integer of at least 1"),
        (dict(activation_weight=-1.0), "activation_weight=-1.0"),
        (dict(apply=None), "give one of them"),
    ],
)
def test_wrong_options_are_explained(options, message):
    model = models.build("mlp", width=6, depth=1, **IMAGES)
    networks = [network(model, i) for i in range(3)]
    with pytest.raises(ValueError, match=message):
        fused(model, networks, **options)


@pytest.mark.parametrize("method", [merged, weights_only])
def test_one_network_is_refused(method):
    model = models.build("mlp", width=6, depth=1, **IMAGES)
    with pytest.raises(ValueError, match="two or more"):
        method(model, [network(model, 0)])
