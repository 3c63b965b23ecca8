"""`align.joint`: lists and stacks, every kind of method, settings, what is refused.

And the baselines by pairs: a tree by hand, and stars and spanning trees of networks.
"""

import itertools

import jax
import numpy as np
import pytest

from linconn_jax import align, models, trees
from linconn_jax import permutation as pm
from linconn_jax.align import _pairwise
from linconn_jax.permutation import Axes

IMAGES = dict(image_shape=(8, 8, 1), classes=10, mean=(0.3,), std=(0.4,))
KEY = jax.random.key(0)
BY_PAIRS = ("star", "spanning_tree", "weight_matching", "activation_matching")
JOINT = ("merge_many", "fused_matching", "frank_wolfe")


def mlp(width=6, depth=2):
    return models.build("mlp", width=width, depth=depth, norm="none", **IMAGES)


def network(model, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(np.float32), model.shapes
    )


def pixels(n=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype(np.uint8)


def joint(model, networks, method, **options):
    data = dict(apply=model.apply, inputs=pixels(), key=KEY)
    return align.joint(model.spec, networks, method=method, **data | options)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("method", [*BY_PAIRS, *JOINT])
def test_planted_copies_come_together_in_lists_and_stacks(method):
    model = mlp()
    a = network(model, 1)
    planted = [pm.random(jax.random.key(i), model.spec, a) for i in range(4)]
    copies = [pm.permute(model.spec, p, a) for p in planted]
    found = joint(model, tuple(copies), method)
    assert found.permutations[0] == pm.identity(model.spec, a)
    moved = found.apply_all(copies)
    assert isinstance(moved, tuple)
    for one in moved:
        equal(one, copies[0])
    stack = trees.stack(copies)
    assert joint(model, stack, method).permutations == found.permutations
    equal(found.apply_all(stack), trees.stack(moved))
    assert found.seconds > 0


def test_a_stack_whose_structure_is_a_list():
    spec = [Axes(None, "a"), Axes("a", None)]
    rng = np.random.default_rng(0)
    nets = [[rng.normal(size=(3, 5)), rng.normal(size=(5, 2))] for _ in range(2)]
    stack = [np.stack(leaves) for leaves in zip(*nets, strict=True)]
    for one in (spec, pm.bind(spec, nets[0])):
        by_list = align.joint(one, nets, key=KEY, method="weight_matching")
        by_stack = align.joint(one, stack, key=KEY, method="weight_matching")
        assert by_list.permutations == by_stack.permutations
        assert by_list.permutation != pm.identity(spec, nets[0])
        moved = by_stack.apply_all(stack)
        assert isinstance(moved, list)
        equal(trees.take(moved, 1), by_list.apply(nets[1]))


def test_pairwise_methods_bring_all_to_the_first():
    model = mlp()
    networks = [network(model, i) for i in range(3)]
    found = joint(model, networks, "weight_matching")
    keys = KEY, jax.random.fold_in(KEY, 1)
    for key, other, p in zip(keys, networks[1:], found.permutations[1:], strict=True):
        pair = align.weight_matching(model.spec, networks[0], other, key=key)
        assert pair.permutation == p
    star = joint(model, networks, "star", settings={"centre": 0})
    assert star.permutations == found.permutations
    pair = joint(model, networks[:2], "star")
    assert pair.permutation == found.permutations[1]


def test_settings_reach_the_method():
    model = mlp()
    networks = [network(model, i) for i in range(3)]
    found = joint(model, networks, "merge_many", settings={"restarts": 3})
    assert len(found.reached) == 3
    own = align.method("merge_many").settings(restarts=2)
    assert len(joint(model, networks, "merge_many", settings=own).reached) == 2
    cosine = {"similarity": "cosine"}
    third, plain = (
        joint(model, networks, "activation_matching", settings=x)
        for x in (cosine, None)
    )
    assert third.permutations != plain.permutations


def test_activations_by_hand_are_told_where_to_read_if_they_can_be():
    model = mlp()
    networks = [network(model, i) for i in range(3)]
    bound = pm.bind(model.spec, networks[0])

    def told(variables, inputs, *, at):
        return pm.ActivationReader(bound, model.apply, at=at)(variables, inputs)

    def plain(variables, inputs):
        return told(variables, inputs, at="relu")

    def found(at, **own):
        settings = {"at": at, "similarity": "cosine"}
        own = {"method": "activation_matching", "settings": settings} | own
        return joint(model, networks, **own).permutations

    after, before = found("relu"), found("linear")
    assert after != before
    assert found("relu", apply=None, activations=told) == after
    assert found("linear", apply=None, activations=told) == before
    assert found("linear", apply=None, activations=plain) == after


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(method="nope"), "method='nope'; it must be one of"),
        (
            dict(method="joint_weight_matching"),
            "two sequences of networks; call align.j",
        ),
        (dict(settings={"restart": 3}), "did you mean fused_matching.restarts"),
        (dict(settings={"restarts": 0}), "fused_matching.restarts=0; it must be"),
        (dict(settings=3), "it must be a dict of its options"),
        (dict(method="naive", settings={}), "it must be None"),
        (dict(apply=None), "give one of them"),
        (dict(inputs=None), "there are no inputs; give inputs"),
        (dict(method="activation_matching", inputs=None), "there are no inputs"),
        (
            dict(method="star", settings={"by": "random"}),
            "star.by='random'; it must be",
        ),
        (
            dict(method="star", settings={"centre": 3}),
            "centre=3; it must be an integer",
        ),
        (dict(batch_size=0), "batch_size=0"),
    ],
)
def test_wrong_options_are_explained(changes, message):
    model = mlp()
    networks = [network(model, i) for i in range(3)]
    options = {"method": "fused_matching"} | changes
    with pytest.raises(ValueError, match=message):
        joint(model, networks, **options)


def test_what_is_no_networks_is_explained():
    model = mlp()
    a = network(model, 0)
    for given, message in (
        ([a], "given 1 networks; it aligns two or more"),
        (
            a,
            "one axis before those that its spec .* labels; networks are given in a list",
        ),
        ({"a": a, "b": a}, "networks is a dict that is no stack"),
        (trees.stack([trees.stack([a, a])] * 2), "does not have one axis before"),
        (3, "networks is a int that is no stack"),
    ):
        with pytest.raises(ValueError, match=message):
            joint(model, given, "merge_many")
    found = joint(model, [a, a, a], "merge_many")
    with pytest.raises(
        ValueError, match="2 networks are given; this alignment is of 3"
    ):
        found.apply_all(trees.stack([a, a]))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_spanning_tree_is_the_best_of_all_trees(k):
    rng = np.random.default_rng(k)
    for _ in range(10):
        objectives = rng.normal(size=(k, k))
        objectives[np.tril_indices(k)] = np.nan  # only pairs i < j are looked at
        edges = list(itertools.combinations(range(k), 2))

        def total(tree, objectives=objectives):
            return sum(objectives[edge] for edge in tree)

        def spans(tree):
            joined = {0}
            for _ in range(k):
                joined |= {x for e in tree if joined & {*e} for x in e}
            return len(joined) == k

        all_trees = filter(spans, itertools.combinations(edges, k - 1))
        assert _pairwise.spanning(objectives) == sorted(max(all_trees, key=total))


def near(value, base, rng):
    """A network whose correlation with another one is given."""
    noise = {n: rng.normal(size=x.shape) for n, x in base.items()}
    return {n: value * x + (1 - value**2) ** 0.5 * noise[n] for n, x in base.items()}


@pytest.mark.parametrize("order", [(2, 0, 3, 1), (0, 2, 3, 1)])
def test_star_and_tree_of_a_chain_by_hand(order):
    """Four networks in a chain, each far from all but its neighbours."""
    spec = {"w": Axes(None, "a")}
    rng = np.random.default_rng(0)
    first = {"w": rng.normal(size=(400, 6))}
    edges = list(itertools.pairwise(order))
    chain = {order[0]: first}
    for before, after in edges:
        chain[after] = near(0.8, chain[before], rng)
    planted = [pm.random(jax.random.key(i), spec, first) for i in range(4)]
    networks = [pm.permute(spec, planted[i], chain[i]) for i in range(4)]
    tree = align.joint(spec, networks, key=KEY, method="spanning_tree")
    star = align.joint(spec, networks, key=KEY, method="star")
    for found in (tree, star):
        for hidden, p in zip(planted, found.permutations, strict=True):
            assert pm.compose(hidden, p) == planted[0]

    def products(pairs):
        return sum(np.vdot(chain[i]["w"], chain[j]["w"]) for i, j in pairs)

    assert tree.objective == pytest.approx(products(edges), rel=1e-5)
    rays = [[(c, i) for i in range(4) if i != c] for c in range(4)]
    assert star.objective == pytest.approx(max(map(products, rays)), rel=1e-5)
    assert max(range(4), key=lambda c: products(rays[c])) in order[1:3]
    each = [
        align.joint(spec, networks, key=KEY, method="star", settings={"centre": c})
        for c in range(4)
    ]
    for c, one in enumerate(each):
        assert one.permutations[0] == pm.identity(spec, first)
        assert one.objective == pytest.approx(products(rays[c]), rel=1e-5)


def test_a_method_without_an_objective_makes_no_tree(monkeypatch):
    model = mlp()
    networks = [network(model, i) for i in range(3)]
    monkeypatch.setattr(_pairwise, "_method", lambda by: align.method("random"))
    for method in ("star", "spanning_tree"):
        with pytest.raises(ValueError, match="tells no finite objective"):
            joint(model, networks, method)
    assert joint(model, networks, "star", settings={"centre": 1}).permutations
