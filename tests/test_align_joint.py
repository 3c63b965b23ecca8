"""One permutation for several pairs: against brute force and against one pair's."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_align import mlp, network

from linconn_jax import align
from linconn_jax import permutation as pm
from linconn_jax.align import _sequences, joint_weight_matching, weight_matching
from linconn_jax.permutation import Axes, Stacked

KEY = jax.random.key(0)
JOINT = align.method("joint_weight_matching")


def inner(spec, references, others, permutation):
    """`Σ_t ⟨references[t], P[others[t]]⟩` over labelled leaves, in float64."""
    bound = pm.bind(spec, references[0])
    total = 0.0
    for a, b in zip(references, others, strict=True):
        moved = pm.permute(spec, permutation, b)
        leaves = zip(bound.axes, bound.leaves(a), bound.leaves(moved), strict=True)
        labelled = ((x, y) for axes, x, y in leaves if any(axes.labels))
        total += sum(np.vdot(np.float64(x), np.float64(y)) for x, y in labelled)
    return total


def sequence(model, first, count):
    return [network(model, first + i) for i in range(count)]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_one_pair_is_weight_matching(norm):
    model = mlp(width=6, depth=3, norm=norm)
    a, b = network(model, 1), network(model, 2)
    for seed in range(3):
        key = jax.random.key(seed)
        one = weight_matching(model.spec, a, b, key=key)
        same = joint_weight_matching(model.spec, [a], [b], key=key)
        assert same.permutations == one.permutations
        assert same.objective == pytest.approx(one.objective, rel=1e-6)
    other = weight_matching(model.spec, a, b, key=jax.random.key(7))
    assert other.permutation != one.permutation  # control: the key matters


def test_one_name_is_assigned_as_brute_force_does():
    model = mlp(width=5, depth=1)
    a, b = sequence(model, 1, 3), sequence(model, 11, 3)
    found = joint_weight_matching(model.spec, a, b, key=KEY)
    [name] = found.permutation
    still = pm.identity(model.spec, a[0])
    each = {
        order: inner(model.spec, a, b, still.replace({name: np.array(order)}))
        for order in itertools.permutations(range(5))
    }
    best = max(each, key=each.get)
    assert tuple(found.permutation[name]) == best
    # control: not every pair by itself would be aligned so
    alone = [
        tuple(weight_matching(model.spec, x, y, key=KEY).permutation[name])
        for x, y in zip(a, b, strict=True)
    ]
    assert any(x != best for x in alone)


def test_the_objective_is_the_sum_and_no_single_move_of_a_layer_gains():
    model = mlp(width=4, depth=2)
    a, b = sequence(model, 1, 3), sequence(model, 11, 3)
    found = joint_weight_matching(model.spec, a, b, key=KEY)
    there = inner(model.spec, a, b, found.permutation)
    assert found.objective == pytest.approx(there, rel=1e-5)
    naive = inner(model.spec, a, b, pm.identity(model.spec, a[0]))
    assert found.naive == pytest.approx(naive, rel=1e-5, abs=1e-4)
    assert there > naive
    for name in found.permutation:
        for order in itertools.permutations(range(4)):
            moved = found.permutation.replace(
                {**found.permutation, name: np.array(order)}
            )
            assert inner(model.spec, a, b, moved) <= there + 1e-4


def test_what_no_single_pair_tells_is_found_from_all():
    """A common permutation, planted in pairs of which each tells some units apart."""
    model = mlp(width=6, depth=2)
    planted = pm.random(jax.random.key(3), model.spec, network(model, 0))
    a = sequence(model, 1, 2)
    seen = [jnp.arange(6) < 3, jnp.arange(6) >= 3]  # units that are not 0 in each

    def half(tree, mask):
        first = tree["params"]["dense_1"]["kernel"] * mask[None].astype(jnp.float32)
        nothing = jax.tree.map(jnp.zeros_like, tree)
        nothing["params"]["dense_1"]["kernel"] = first
        return nothing

    a = [half(tree, mask) for tree, mask in zip(a, seen, strict=True)]
    b = [pm.permute(model.spec, planted, tree) for tree in a]
    found = joint_weight_matching(model.spec, a, b, key=KEY)
    back = pm.compose(planted, found.permutation)
    assert back["dense_1"].tolist() == list(range(6))
    one = weight_matching(model.spec, a[0], b[0], key=KEY)
    assert pm.compose(planted, one.permutation)["dense_1"].tolist() != list(range(6))


def test_a_stack_of_layers_and_missing_leaves():
    spec = {
        "stack": Stacked(Axes("in", "one"), Axes("in", "two")),
        "bias": Axes("in"),
        "state": Axes("one", state=True),
        "none": Axes(),
        "scalar": Axes(),
    }
    rng = np.random.default_rng(0)

    def tree():
        arrays = {"stack": (2, 5, 4), "bias": (5,), "state": (4,)}
        made = {k: rng.normal(size=v).astype(np.float32) for k, v in arrays.items()}
        return made | {"none": None, "scalar": np.float32(1)}

    a, p = [tree() for _ in range(3)], None
    p = pm.random(jax.random.key(1), spec, a[0])
    b = [pm.permute(spec, p, x) for x in a]
    found = joint_weight_matching(spec, a, b, key=KEY)
    assert pm.compose(p, found.permutation) == pm.identity(spec, a[0])
    # state is not looked at: with other states the same is found
    other = [x | {"state": x["state"][::-1].copy()} for x in b]
    again = joint_weight_matching(spec, a, other, key=KEY)
    assert again.permutation == found.permutation


def test_its_settings_are_those_of_weight_matching():
    model = mlp(width=6, depth=2)
    a, b = network(model, 1), network(model, 2)
    biased = jax.tree.map(lambda x: x * (50.0 if x.ndim == 1 else 1.0), (a, b))
    context, one = align.Context(model.spec), align.method("weight_matching")
    found = {}
    for leave_out in ("nothing", "biases"):
        options = JOINT.settings(leave_out=leave_out, accept="absolute")
        found[leave_out] = JOINT(context, biased, KEY, options).permutations
        assert found[leave_out] == one(context, biased, KEY, options).permutations
    assert found["nothing"] != found["biases"]
    several = JOINT.settings(restarts=4)
    for method in (JOINT, one):
        best = method(context, biased, KEY, several)
        assert len(best.reached) == 4
        assert best.objective == max(best.reached)
        assert best.reached[0] == method(context, biased, KEY).objective


def test_as_a_method():
    model = mlp(width=6, depth=2)
    a, b = sequence(model, 1, 2), sequence(model, 11, 2)
    found = JOINT(align.Context(model.spec), [*a, *b], KEY)
    plain = joint_weight_matching(model.spec, a, b, key=KEY)
    assert found.permutations == plain.permutations
    assert found.permutations[0] == pm.identity(model.spec, a[0])
    swapped = JOINT(align.Context(model.spec), [a[0], b[0], a[1], b[1]], KEY)
    assert (
        swapped.permutations != plain.permutations
    )  # control: first half, second half
    with pytest.raises(ValueError, match="3 networks; it aligns two sequences"):
        JOINT(align.Context(model.spec), [*a, b[0]], KEY)
    with pytest.raises(ValueError, match="give as many of each"):
        joint_weight_matching(model.spec, a, b[:1], key=KEY)
    with pytest.raises(ValueError, match="joint=True and sequences=True"):
        align.Method("mine", lambda *a: None, joint=True, sequences=True)
    every = align.Alignment(model.spec, plain.permutations * 2)
    wrong = align.Method("mine", lambda *a: every, sequences=True)
    with pytest.raises(ValueError, match="2 permutations, one for each sequence"):
        wrong(align.Context(model.spec), [*a, *b], KEY)


def hosted(model, first, count):
    """A sequence on the host, where nothing is compiled."""
    each = (np.random.default_rng(first + i) for i in range(count))
    return [
        jax.tree.map(lambda x, r=r: r.normal(size=x.shape).astype("f"), model.shapes)
        for r in each
    ]


def cosines(spec, references, others, permutation):
    still = pm.identity(spec, references[0])
    found = []
    for a, b in zip(references, others, strict=True):
        product = inner(spec, [a], [b], permutation)
        squares = (inner(spec, [x], [x], still) for x in (a, b))
        found.append(product / np.sqrt(np.prod(list(squares))))
    return np.array(found)


def scaled(networks, sizes):
    each = zip(networks, sizes, strict=True)
    return [jax.tree.map(lambda x, s=s: s * x, network) for network, s in each]


def test_cosines_do_not_see_sizes():
    model = mlp(width=6, depth=2)
    a, b = hosted(model, 1, 3), hosted(model, 11, 3)
    # Powers of two: exact.
    larger = scaled(a, (64.0, 1.0, 0.125)), scaled(b, (1.0, 0.5, 8.0))
    each = a, b
    for over, same in (("normalised", True), ("worst", True), ("sum", False)):
        one, two = (
            joint_weight_matching(model.spec, *x, key=KEY, over=over)
            for x in (each, larger)
        )
        assert (one.permutations == two.permutations) == same
    found = joint_weight_matching(model.spec, a, b, key=KEY, over="normalised")
    there = cosines(model.spec, a, b, found.permutation)
    assert found.objective == pytest.approx(there.sum(), rel=1e-5)


def test_the_worst_pair_is_no_worse_than_by_sums_and_mostly_better():
    model, gains, further = mlp(width=6, depth=2), [], []
    for seed in range(3):
        a, b = hosted(model, 10 * seed, 3), hosted(model, 100 + 10 * seed, 3)
        a = scaled(a, (4.0, 1.0, 1.0))
        own = [
            weight_matching(model.spec, x, y, key=KEY, restarts=2).permutation
            for x, y in zip(a, b, strict=True)
        ]
        best = [
            cosines(model.spec, [x], [y], p)[0]
            for x, y, p in zip(a, b, own, strict=True)
        ]
        least = {}
        for over in ("sum", "normalised", "worst"):
            found = joint_weight_matching(
                model.spec, a, b, key=KEY, over=over, restarts=2
            )
            there = cosines(model.spec, a, b, found.permutation) - np.array(best)
            least[over] = there.min()
        # 1e-6: cosines of float32 networks.
        assert found.objective == pytest.approx(least["worst"], abs=1e-6)
        still = pm.identity(model.spec, a[0])
        naive = (cosines(model.spec, a, b, still) - np.array(best)).min()
        assert found.naive == pytest.approx(naive, abs=1e-6)
        assert least["worst"] >= max(least["sum"], least["normalised"])
        gains.append(least["worst"] - least["sum"])
        further.append(least["worst"] - least["normalised"])
        assert list(found.history) == sorted(found.history)
    assert np.median(gains) > 0.01
    assert max(further) > 0.01  # by the rounds of reweighting


def test_one_name_for_the_worst_pair_against_brute_force():
    model = mlp(width=5, depth=1)
    a, b = hosted(model, 1, 2), hosted(model, 11, 2)
    found = joint_weight_matching(model.spec, a, b, key=KEY, over="worst")
    [name] = found.permutation
    still, each = pm.identity(model.spec, a[0]), []
    for order in itertools.permutations(range(5)):
        moved = still.replace({name: np.array(order)})
        each.append(cosines(model.spec, a, b, moved))
    above = (np.array(each) - np.max(each, axis=0)).min(axis=1)
    # Weighted sums reach no more than what is best for some weights.
    assert found.objective <= above.max() + 1e-6
    assert (above < found.objective - 1e-6).mean() > 0.95


def test_pairs_of_a_stack_of_layers_are_weighted_one_by_one():
    spec = {"w": Stacked(Axes("s", "a"), Axes("s", "b")), "e": Axes(None, "s")}
    spec["x"] = Axes()
    rng = np.random.default_rng(0)
    a, b = (
        [
            {"w": rng.normal(size=(2, 4, 3)), "e": rng.normal(size=(2, 4)), "x": 1.0}
            for _ in range(3)
        ]
        for _ in range(2)
    )
    both = _sequences.sequences(spec, a, b, None)
    p = pm.random(KEY, spec, a[0])
    each = [
        sum(np.vdot(x[n], y[n]) for n in ("w", "e"))
        for x, y in zip(a, (pm.permute(spec, p, y) for y in b), strict=True)
    ]
    np.testing.assert_allclose(both.products(p), each, rtol=1e-12)
    sizes = np.array([3.0, -1.0, 0.5])
    larger = dataclasses.replace(both, references=both.times(sizes))
    np.testing.assert_allclose(larger.products(p), sizes * each, rtol=1e-12)


def test_an_objective_is_of_each_member():
    model = mlp(width=6, depth=2)
    a, b = hosted(model, 1, 2), hosted(model, 11, 2)
    f = align.objectives.cosine(model.spec)
    options = dict(key=KEY, over="sum")
    named = joint_weight_matching(model.spec, a, b, objective="cosine", **options)
    made = joint_weight_matching(
        model.spec, list(map(f, a)), list(map(f, b)), **options
    )
    assert named.permutations == made.permutations
    assert named.objective == made.objective
    plain = joint_weight_matching(model.spec, a, b, **options)
    assert plain.objective != named.objective


def test_a_study_chooses_what_counts_over_the_pairs():
    model = mlp(width=6, depth=2)
    a, b = hosted(model, 1, 2), hosted(model, 11, 2)
    context = align.Context(model.spec)
    chosen = JOINT.settings(over="worst", restarts=2)
    found = JOINT(context, [*a, *b], KEY, chosen)
    direct = joint_weight_matching(model.spec, a, b, key=KEY, over="worst", restarts=2)
    assert found.permutations == direct.permutations
    plain = JOINT(context, [*a, *b], KEY)
    assert plain.objective > 0 > found.objective
    with pytest.raises(ValueError, match="over='least'; it must be one of sum"):
        joint_weight_matching(model.spec, a, b, key=KEY, over="least")


def test_lengths_are_compared_before_anything_is_made():
    spec = {"w": Axes(None, "a")}
    one, made = {"w": np.eye(3, 2)}, []
    with pytest.raises(ValueError, match="2 references and 1 others are given"):
        align.joint_weight_matching(
            spec, [one] * 2, [one], key=jax.random.key(0), objective=made.append
        )
    assert not made
