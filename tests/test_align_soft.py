"""Matrices in the place of permutations: against `permute`, autodiff and sums."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_permute import random_indices
from symmetric_trees import random_spec, tree
from test_align import mlp, network

from linconn_jax import permutation as pm
from linconn_jax.align._soft import (
    differential,
    sinkhorn,
    soft_permute,
    straight_through,
)
from linconn_jax.permutation import Axes

seeds = st.integers(0, 2**31 - 1)
many = settings(max_examples=15, deadline=None)


act_softly = jax.jit(soft_permute, static_argnums=0)


def matrices(permutation):
    """0-1 matrices `[*parents, new, old]`."""
    return {x: np.eye(p.shape[-1], dtype=np.float32)[p] for x, p in permutation.items()}


def check_permute(shape, seed):
    spec = random_spec(shape)
    bound, p = pm.bind(spec, tree(spec)), random_indices(spec, seed)
    moved = act_softly(bound, matrices(p), tree(spec))
    expected = pm.permute(spec, pm.from_indices(bound, None, p), tree(spec))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-6), moved, expected
    )


def check_differential(shape, seed):
    spec, rng = random_spec(shape), np.random.default_rng(seed)
    bound = pm.bind(spec, tree(spec))
    still = jax.tree.map(jnp.asarray, matrices(bound.identity()))
    change = {x: rng.normal(size=p.shape).astype(np.float32) for x, p in still.items()}

    @jax.jit
    def both(still, change, variables):
        act = functools.partial(soft_permute, bound, tree=variables)
        return *jax.jvp(act, (still,), (change,)), differential(
            bound, change, variables
        )

    there, expected, found = both(still, change, tree(spec))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    # Leaves without names do not change.
    jax.tree.map(close, found | {"scalar": 0}, expected | {"scalar": 0})
    jax.tree.map(close, there, tree(spec))


@pytest.mark.parametrize("shape", [6])
def test_at_permutation_matrices_it_is_permute(shape):
    check_permute(shape, 0)


def test_the_differential_is_that_of_the_soft_action():
    check_differential(6, 0)


@pytest.mark.slow
@many
@given(seeds, seeds)
def test_of_many_specs(shape, seed):
    check_permute(shape, seed)
    check_differential(shape, seed)


def test_past_an_assignment_the_gradient_is_that_of_the_matrices():
    """Of names that lie under no other: what autodiff finds at the permutation."""
    model = mlp(width=5, depth=2)
    one, other = network(model, 0), network(model, 1)
    bound = pm.bind(model.spec, one)
    p = pm.random(jax.random.key(0), bound, one)
    moved = pm.permute(bound, p, one)
    act = functools.partial(soft_permute, bound, tree=one)
    _, pull = jax.vjp(act, jax.tree.map(jnp.asarray, matrices(dict(p))))
    (expected,) = pull(other)
    found = straight_through(bound, other, moved, dict(p))
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-4, atol=1e-4)
    wrong = straight_through(bound, other, one, dict(p))  # control
    assert any(np.abs(wrong[x] - expected[x]).max() > 1 for x in expected)


def test_of_a_gradient_it_tells_what_swapping_two_units_of_a_bias_gains():
    spec = {"bias": Axes("a")}
    bound = pm.bind(spec, {"bias": np.zeros(3)})
    p = {"a": np.array([2, 0, 1])}
    old, slope = np.float32([1, 2, 4]), np.float32([10, 100, 1000])
    found = straight_through(bound, {"bias": slope}, {"bias": old[p["a"]]}, p)
    np.testing.assert_allclose(found["a"], np.outer(slope, old))


def test_leaves_without_a_fraction_and_missing_ones_stay():
    spec = {"a": Axes("a"), "count": Axes("a"), "none": Axes("a")}
    given_ = {"a": np.ones(2, np.float32), "count": np.arange(2), "none": None}
    bound = pm.bind(spec, given_)
    swap = {"a": np.float32([[0, 1], [1, 0]])}
    moved = soft_permute(bound, swap, given_ | {"a": np.float32([1, 2])})
    assert moved["a"].tolist() == [2, 1]
    assert moved["count"].tolist() == [0, 1]
    assert moved["none"] is None


def test_sinkhorn_is_doubly_stochastic():
    scores = jax.random.normal(jax.random.key(0), (2, 6, 6)) + 5 * jnp.eye(6)[None]
    found = sinkhorn(scores, 100)
    np.testing.assert_allclose(found.sum(axis=-2), 1, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-3)
    once = sinkhorn(scores, 1)  # control: columns last
    assert np.abs(once.sum(axis=-1) - 1).max() > 1e-2


@pytest.mark.parametrize("spread", [1, 30, 1000])
def test_sinkhorn_is_that_of_the_log_domain_however_far_scores_lie_apart(spread):
    scores = spread * jax.random.normal(jax.random.key(0), (2, 32, 32))
    log = scores
    for _ in range(10):
        log = jax.nn.log_softmax(jax.nn.log_softmax(log, axis=-1), axis=-2)
    found = sinkhorn(scores, 10)
    assert np.isfinite(found).all()
    # float32 sums of 32 terms, twenty times over.
    np.testing.assert_allclose(found, jnp.exp(log), atol=1e-5)
    slopes = jax.grad(lambda x: (sinkhorn(x, 10) * scores).sum())(scores)
    assert np.isfinite(slopes).all()
