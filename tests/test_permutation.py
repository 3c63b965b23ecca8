"""A small spec by hand: what the action does, and what is refused."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linconn_jax import align, trees
from linconn_jax import permutation as pm
from linconn_jax.permutation import Axes, Block, algebra, store

SPEC = {
    "conv": Axes(None, None, None, "conv"),
    "bias": Axes("conv"),
    "dense": Axes(Block(4, "conv"), "dense"),
    "head": Axes("dense", None),
    "scalar": Axes(),
}


def variables(seed=0, conv=5, dense=7):
    keys = iter(jax.random.split(jax.random.key(seed), 5))
    shapes = {
        "conv": (3, 3, 2, conv),
        "bias": (conv,),
        "dense": (4 * conv, dense),
        "head": (dense, 3),
        "scalar": (),
    }
    return {n: jax.random.normal(next(keys), s) for n, s in shapes.items()}


def apply(v, images):
    """Conv on 2x2 maps (as a product with the kernel's centre), flatten, dense, head."""
    maps = jax.nn.relu(images @ v["conv"][1, 1] + v["bias"][None, None, None])
    flat = maps.reshape(len(images), -1)
    return jax.nn.relu(flat @ v["dense"]) @ v["head"] * v["scalar"]


def random(seed, tree=None):
    return pm.random(jax.random.key(seed), SPEC, tree or variables())


def assert_same(p, q):
    jax.tree.map(np.testing.assert_array_equal, p, q)


seeds = st.integers(0, 2**31 - 1)


def test_composing_in_the_other_order_differs():
    v, p, q = variables(), random(1), random(2)
    one_by_one = pm.permute(SPEC, q, pm.permute(SPEC, p, v))
    swapped = pm.permute(SPEC, pm.compose(q, p), v)
    assert not np.array_equal(one_by_one["bias"], swapped["bias"])


def test_new_unit_i_is_old_unit_p_i():
    v, p = variables(), random(3)
    moved = pm.permute(SPEC, p, v)
    for i in range(5):
        old = int(p["conv"][i])
        np.testing.assert_array_equal(moved["bias"][i], v["bias"][old])
        for position in range(4):  # blocks: positions stay, channels move
            np.testing.assert_array_equal(
                moved["dense"][position * 5 + i],
                v["dense"][position * 5 + old][p["dense"]],
            )


def test_the_function_is_unchanged():
    v = variables()
    images = jax.random.normal(jax.random.key(9), (6, 2, 2, 2))
    moved = pm.permute(SPEC, random(4), v)
    # 1e-5: the same products of order 10, summed in another order in float32.
    np.testing.assert_allclose(apply(moved, images), apply(v, images), atol=1e-5)


@pytest.mark.parametrize("leaf", ["conv", "bias", "dense", "head"])
def test_a_spec_with_a_label_dropped_changes_the_function(leaf):
    v = variables()
    images = jax.random.normal(jax.random.key(9), (6, 2, 2, 2))
    wrong = {**SPEC, leaf: Axes(*(None for _ in SPEC[leaf].labels))}
    full = pm.permute(
        {**wrong, "extra": Axes("conv"), "more": Axes("dense")},
        random(4),
        {**v, "extra": v["bias"], "more": v["head"][:, 0]},
    )
    assert np.abs(apply(full, images) - apply(v, images)).max() > 1e-2


@settings(max_examples=10, deadline=None)
@given(seeds, st.floats(0, 1))
def test_permute_distributes_over_interpolation(seed, alpha):
    a, b, p = variables(1), variables(2), random(seed)
    coords = jnp.array([1 - alpha, alpha], jnp.float32)
    between = trees.combine(coords, trees.stack([a, b]))
    moved = trees.stack([pm.permute(SPEC, p, x) for x in (a, b)])
    jax.tree.map(
        np.testing.assert_array_equal,
        pm.permute(SPEC, p, between),
        trees.combine(coords, moved),
    )


def test_stacked_trees_jit_and_vmap():
    stacked = trees.stack([variables(i) for i in range(3)])
    p = random(5)
    each = trees.stack([pm.permute(SPEC, p, variables(i)) for i in range(3)])
    assert_same(pm.permute(SPEC, p, stacked), each)
    assert_same(jax.jit(pm.permute)(SPEC, p, stacked), each)
    many = trees.stack([random(i) for i in range(3)])
    own = jax.vmap(lambda q, v: pm.permute(SPEC, q, v))(many, stacked)
    expected = [pm.permute(SPEC, random(i), variables(i)) for i in range(3)]
    assert_same(own, trees.stack(expected))


def test_agreement():
    spec = {"a": Axes("a"), "b": Axes("b")}
    tree = {"a": jnp.zeros(4), "b": jnp.zeros(2)}
    p = pm.identity(spec, tree)
    q = pm.from_indices(spec, tree, {"a": [0, 1, 3, 2], "b": [1, 0]})
    fractions = pm.agreement(p, q)
    assert fractions["a"] == 0.5
    assert fractions["b"] == 0.0
    assert pm.overall(fractions, p) == pytest.approx(2 / 6)
    assert pm.overall(pm.agreement(p, p), p) == 1.0


def test_sizes():
    assert pm.sizes(SPEC, variables()) == {"conv": 5, "dense": 7}
    shapes = jax.eval_shape(variables)
    assert pm.sizes(SPEC, shapes) == {"conv": 5, "dense": 7}


def spoiled(**changes):
    return {**variables(), **changes}


@pytest.mark.parametrize(
    ("spec", "tree", "message"),
    [
        (
            {"bias": Axes("conv"), "gain": Axes()},
            variables(),
            r"different structures.*spec has \['gain'\].*tree has \['conv', 'dense',",
        ),
        ([Axes("conv")], (jnp.zeros(5),), "different structures.*Expected tuple"),
        ({**SPEC, "bias": "conv"}, variables(), "must be Axes"),
        (variables(), jnp.zeros(3), r"holds \{.* at its root; it must be Axes"),
        (SPEC, SPEC, "a spec is given for a tree"),
        (SPEC, spoiled(bias=jnp.zeros(6)), "'conv' has 5 units in .* but 6 in|6 units"),
        (SPEC, spoiled(bias=jnp.zeros(())), "labels 1 axes"),
        (
            SPEC,
            spoiled(dense=jnp.zeros((21, 7))),
            "its label 4×conv makes 20",
        ),
    ],
)
def test_a_spec_that_does_not_fit_is_refused(spec, tree, message):
    with pytest.raises(ValueError, match=message):
        pm.sizes(spec, tree)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv": jnp.arange(4)}, "must be 5 integers"),
        ({"conv": jnp.arange(5.0)}, "must be 5 integers"),
        ({"conv": jnp.zeros(5, int)}, "not a rearrangement"),
        ({"other": jnp.arange(5)}, r"unknown \['other'\]"),
    ],
)
def test_a_permutation_that_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        pm.permute(SPEC, {**random(0), **change}, variables())


def test_permutations_of_different_specs_are_refused():
    alone = pm.identity({"bias": Axes("conv")}, {"bias": jnp.zeros(5)})
    wider = random(0, variables(conv=6))
    for other in (alone, wider):
        with pytest.raises(ValueError, match="different specs"):
            pm.compose(random(0), other)
        with pytest.raises(ValueError, match="different specs"):
            pm.agreement(random(0), other)
        with pytest.raises(ValueError, match="does not belong|must be 5 integers"):
            pm.permute(SPEC, other, variables())


PLAIN = {"conv": np.arange(5), "dense": np.arange(7)}


@pytest.mark.parametrize(
    ("module", "call"),
    [
        (algebra, lambda m, p: m.inverse(PLAIN)),
        (algebra, lambda m, p: m.power(PLAIN, 2)),
        (algebra, lambda m, p: m.compose(p, PLAIN)),
        (algebra, lambda m, p: m.compose([p, p], p)),
        (algebra, lambda m, p: m.agreement(PLAIN, p)),
        (algebra, lambda m, p: m.order(PLAIN)),
        (store, lambda m, p: m.save("never.npz", PLAIN)),
    ],
)
def test_a_plain_dict_is_told_how_to_become_a_permutation(unchecked, module, call):
    with pytest.raises(ValueError, match="given for a Permutation.*from_indices"):
        call(unchecked(module), random(0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"is a NoneType; .* its \.permutation"),
        ([1, 0], r"is a list; .* its \.permutation"),
        ({0: np.arange(5)}, r"axis name \(str\)"),
        ({**PLAIN, "conv": [[0], [1, 2]]}, "index array of 'conv' is no array"),
    ],
)
def test_what_holds_no_index_arrays_is_refused(unchecked, given, message):
    with pytest.raises(ValueError, match=message):
        unchecked(algebra).from_indices(SPEC, variables(), given)


def test_lists_in_a_permutation_made_by_hand_are_refused():
    by_hand = pm.Permutation({"conv": [0, 1, 2, 3, 4], "dense": np.arange(7)})
    with pytest.raises(ValueError, match="dtype list; it must be 5 integers"):
        pm.permute(SPEC, by_hand, variables())


def test_equality_is_of_what_is_moved_and_never_of_tracers():
    p = pm.from_indices(SPEC, variables(), PLAIN)
    assert p == pm.Permutation(dict(reversed(PLAIN.items())))
    assert p != random(0)
    assert p != PLAIN
    with pytest.raises(jax.errors.TracerArrayConversionError):
        jax.jit(lambda q: q == p)(p)


def test_names_without_units_count_for_nothing():
    spec, tree = {"a": Axes("a"), "b": Axes("b")}, {"a": np.zeros(0), "b": np.zeros(2)}
    p = pm.random(jax.random.key(0), spec, tree)
    assert pm.overall(pm.agreement(p, p), p) == 1.0
    assert len(pm.random(jax.random.key(0), {}, {})) == 0


def test_a_label_must_be_a_name():
    with pytest.raises(ValueError, match="must be a name"):
        Axes(3)


def test_random_is_uniform():
    tree = {"bias": jnp.zeros(3)}
    keys = jax.random.split(jax.random.key(0), 3000)
    drawn = jax.vmap(lambda k: pm.random(k, {"bias": Axes("a")}, tree))(keys)["a"]
    counts = np.unique(np.asarray(drawn), axis=0, return_counts=True)[1]
    assert len(counts) == 6
    # 500 expected for each of 6; six standard deviations of a binomial count are 122.
    assert np.abs(counts - 500).max() < 122


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guide = (Path(__file__).parents[1] / "docs" / "symmetries.md").read_text()
    section = guide.split("## Permutations of a network")[1].split("\n## ")[0]
    tree = {"w": jnp.ones((2, 4)), "b": jnp.arange(4.0)}
    names = {
        "key": jax.random.key(0),
        "align": align,
        "permutation": pm,
        "spec": {"w": Axes(None, "dense_1"), "b": Axes("dense_1")},
        "variables": tree,
        "order": [1, 2, 3, 0],
        "apply": lambda variables, x: x @ variables["w"] + variables["b"][None],
        "x": jnp.ones((1, 2)),
    }
    for code in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(code, names)
    assert names["both"] == pm.compose(names["p"], names["q"])
    assert names["about"] == {"method": "random", "seeds": [0, 1]}
    assert names["found"].sweeps
    assert names["in_a"].frame == "A"
    wide = re.search(r"`(extras\.widen\(.*?\))`", section).group(1)
    assert eval(wide, names)["w"].shape == (2, 128)
