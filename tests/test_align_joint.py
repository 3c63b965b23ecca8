"""One permutation for several pairs: against brute force and against one pair's."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_align import mlp, network

from linconn_jax import align
from linconn_jax import permutation as pm
from linconn_jax.align import joint_weight_matching, weight_matching
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
