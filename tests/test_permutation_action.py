"""The action on random specs: against a slow oracle, and the laws of group and action."""

import jax
import jax.numpy as jnp
import naive_permute
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symmetric_trees import random_spec, tree

from linconn_jax import permutation as pm
from linconn_jax import trees
from linconn_jax.permutation import Axes, Stacked, gather_plan

seeds = st.integers(0, 2**31 - 1)
laws = settings(max_examples=30, deadline=None)  # on the host, where nothing compiles
in_jax = settings(max_examples=3, deadline=None)


def draw(spec, seed):
    """A random element with its index arrays on the host."""
    indices = naive_permute.random_indices(spec, seed)
    return pm.from_indices(spec, tree(spec), indices)


def still(spec):
    """The identity on the host: beside index arrays of JAX, each size is compiled."""
    return jax.device_get(pm.identity(spec, tree(spec)))


def assert_same(x, y):
    jax.tree.map(np.testing.assert_array_equal, x, y)


@laws
@given(seeds, seeds)
def test_permute_against_moving_every_number_by_itself(shape, seed):
    spec = random_spec(shape)
    variables, p = tree(spec), draw(spec, seed)
    expected = naive_permute.permute(spec, p, variables)
    moved = pm.permute(spec, p, variables)
    assert all(isinstance(x, np.ndarray) for x in moved.values())
    assert_same(moved, expected)


@pytest.mark.slow
@laws
@given(seeds, seeds, st.integers(1, 40), st.sampled_from([0, 10**9]))
def test_blocks_and_threads_on_the_host_do_not_show(shape, seed, block, large):
    spec = random_spec(shape)
    both = trees.stack([tree(spec), tree(spec, 1)])
    both = jax.tree.map(lambda x: np.asfortranarray(x), both)  # rows lie far apart
    p = draw(spec, seed)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(gather_plan, "BLOCK", block)
        small.setattr(gather_plan, "LARGE", large)
        moved = pm.permute(spec, p, both)
    for i in (0, 1):
        each = jax.tree.map(lambda x, i=i: x[i], both)
        assert_same(
            jax.tree.map(lambda x, i=i: x[i], moved),
            naive_permute.permute(spec, p, each),
        )


@in_jax
@given(seeds, seeds)
def test_permute_in_jax_as_on_the_host(shape, seed):
    spec = random_spec(shape)
    variables, p = tree(spec), draw(spec, seed)
    expected = pm.permute(spec, p, variables)
    assert_same(pm.permute(spec, p, jax.tree.map(jnp.asarray, variables)), expected)
    assert_same(jax.jit(pm.permute)(spec, p, variables), expected)


@laws
@given(seeds, seeds, seeds, seeds)
def test_group_laws(shape, a, b, c):
    spec = random_spec(shape)
    p, q, r = draw(spec, a), draw(spec, b), draw(spec, c)
    one = still(spec)
    assert pm.compose(pm.compose(p, q), r) == pm.compose(p, pm.compose(q, r))
    assert pm.compose(p, one) == p == pm.compose(one, p)
    assert pm.compose(p, pm.inverse(p)) == one == pm.compose(pm.inverse(p), p)


@laws
@given(seeds, seeds, seeds)
def test_the_action_is_that_of_the_group(shape, a, b):
    spec = random_spec(shape)
    v, p, q = tree(spec), draw(spec, a), draw(spec, b)
    one_by_one = pm.permute(spec, q, pm.permute(spec, p, v))
    assert_same(one_by_one, pm.permute(spec, pm.compose(p, q), v))
    assert_same(pm.permute(spec, pm.inverse(p), pm.permute(spec, p, v)), v)
    assert_same(pm.permute(spec, still(spec), v), v)


@laws
@given(seeds, seeds)
def test_powers_and_order(shape, seed):
    spec = random_spec(shape)
    p = draw(spec, seed)
    one = still(spec)
    by_hand, n = p, 1
    while by_hand != one:
        by_hand, n = pm.compose(by_hand, p), n + 1
        if n < 9:
            assert pm.power(p, n) == by_hand
    assert pm.order(p) == n
    assert pm.power(p, n) == one
    assert pm.power(p, 0) == one
    assert pm.power(p, -2) == pm.inverse(pm.compose(p, p))
    assert pm.power(p, n + 1) == p


@in_jax
@given(seeds, seeds)
def test_jit_vmap_and_stacked_trees(shape, seed):
    spec = random_spec(shape)
    v, w = tree(spec), tree(spec, 1)
    p, q = draw(spec, seed), draw(spec, seed + 1)
    both = trees.stack([v, w])
    each = [pm.permute(spec, p, v), pm.permute(spec, p, w)]
    assert_same(pm.permute(spec, p, both), trees.stack(each))
    own = jax.vmap(lambda x, y: pm.permute(spec, x, y))(trees.stack([p, q]), both)
    assert_same(own, trees.stack([each[0], pm.permute(spec, q, w)]))
    composed = jax.jit(pm.compose)(p, q)
    assert composed == pm.compose(p, q)
    many = jax.vmap(pm.inverse)(trees.stack([p, q]))
    assert trees.take(many, 1) == pm.inverse(q)
    in_jax = jax.tree.map(jnp.asarray, (p, q))
    assert pm.compose(*in_jax) == pm.compose(p, q)
    assert all(isinstance(x, np.ndarray) for x in pm.compose(p, q).values())


def test_a_layer_of_a_stack_without_names_stays():
    spec = {"w": Stacked(Axes("a", None), Axes(None, None)), "b": Axes("a")}
    v = {"w": np.arange(24.0).reshape(2, 4, 3), "b": np.arange(4.0)}
    index = np.array([2, 0, 3, 1])
    expected = {"w": np.stack([v["w"][0][index], v["w"][1]]), "b": v["b"][index]}
    assert_same(pm.permute(spec, {"a": index}, v), expected)
    on_device = jax.tree.map(jnp.asarray, v)
    assert_same(pm.permute(spec, {"a": index}, on_device), expected)
    many = trees.stack([v, jax.tree.map(np.negative, v)])
    assert_same(trees.take(pm.permute(spec, {"a": index}, many), 0), expected)


@pytest.mark.parametrize("shape", [(7, 3), (1, 7), (7, 1), (1, 1)])
def test_strided_and_narrow_leaves_on_the_host(shape):
    spec = {"w": Axes("a", "b"), "v": Axes("a", None)}
    rng = np.random.default_rng(0)
    wide, v = rng.normal(size=(shape[0], 3, shape[1])), rng.normal(size=(shape[0], 5))
    p = jax.tree.map(
        np.asarray, pm.random(jax.random.key(0), spec, {"w": wide[:, 0], "v": v})
    )
    for leaf in (wide[:, 1], np.asfortranarray(wide[:, 1]), wide[::-1, 0]):
        moved = pm.permute(spec, p, {"w": leaf, "v": v})
        assert_same(moved["w"], leaf[p["a"]][:, p["b"]])
        assert_same(moved["v"], v[p["a"]])


def test_names_that_stay_leave_their_leaves_as_they_are():
    spec = {"w": Axes("a", "b"), "v": Axes("a")}
    v = {"w": np.ones((3, 2)), "v": np.arange(3.0)}
    p = {"a": np.arange(3), "b": np.array([1, 0])}
    moved = pm.permute(spec, p, v)
    assert moved["v"] is v["v"]
    assert moved["w"] is not v["w"]


def test_a_plain_dict_of_a_tree_with_missing_leaves():
    spec = {"w": Axes("a", "b"), "v": Axes("a")}
    v = {"w": None, "v": np.arange(3.0)}
    moved = pm.permute(spec, {"a": [2, 0, 1], "b": [1, 0]}, v)
    assert moved["w"] is None
    assert_same(moved["v"], np.array([2.0, 0.0, 1.0]))
