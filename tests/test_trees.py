"""Trees: stacking, taking, combining, digests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linconn_jax import trees


def tree(seed, units=3):
    rng = np.random.default_rng(seed)
    return {
        "a": {"w": rng.normal(size=(2, units)).astype(np.float32)},
        "n": np.int32(seed),
    }


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_stack_and_take_are_inverse():
    stacked = trees.stack([tree(0), tree(1), tree(2)])
    assert trees.leading_size(stacked) == 3
    for i in (0, 1, 2):
        assert_same(trees.take(stacked, i), tree(i))
    assert_same(trees.take(stacked, -1), tree(2))
    assert_same(trees.take(stacked, [2, 0]), trees.stack([tree(2), tree(0)]))
    assert trees.leading_size(trees.take(stacked, [])) == 0


def test_stacking_cuts_no_digits():
    trees_of = [{"n": np.array(2**40 + i), "w": np.ones(3) + i} for i in range(2)]
    stacked = trees.stack(trees_of)
    assert stacked["n"].tolist() == [2**40, 2**40 + 1]
    assert stacked["w"].dtype == np.float64
    between = trees.combine(jnp.array([0.5, 0.5]), stacked)
    assert between["w"].tolist() == [1.5] * 3
    assert between["n"] == 2**40
    assert isinstance(trees.stack([tree(0), tree(1)])["a"]["w"], jax.Array)


def test_combine_by_hand():
    stacked = trees.stack([tree(4), tree(1)])
    found = trees.combine(jnp.array([0.25, 0.75]), stacked)
    expected = 0.25 * tree(4)["a"]["w"] + 0.75 * tree(1)["a"]["w"]
    np.testing.assert_allclose(found["a"]["w"], expected, rtol=1e-6)
    assert found["n"] == 1  # a counter is the nearest vertex's
    assert trees.combine(jnp.array([0.5, 0.5]), stacked)["n"] == 4  # or the first's
    between = jax.jit(trees.combine)(jnp.array([0.25, 0.75]), stacked)
    assert between["n"] == 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float8_e4m3fn])
def test_narrow_floats_are_rounded_once(dtype):
    rng = np.random.default_rng(0)
    values = jnp.asarray(rng.normal(size=200), dtype)
    third = jnp.full(3, 1 / 3)
    same = trees.combine(third, {"w": jnp.stack([values] * 3)})["w"]
    assert same.dtype == dtype
    np.testing.assert_array_equal(same, values)


def test_where_and_all_finite():
    yes, no = tree(0), tree(1)
    assert_same(trees.where(jnp.array(True), yes, no), yes)
    assert_same(trees.where(jnp.array(False), yes, no), no)
    assert trees.all_finite(yes)
    assert trees.all_finite({})
    for wrong in (np.nan, np.inf, -np.inf):
        broken = tree(0)
        broken["a"]["w"][1, 2] = wrong
        assert not trees.all_finite(broken)


def test_size_and_names():
    assert trees.size(tree(0)) == 7
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree(0))]
    assert [trees.path_name(path) for path in paths] == ["a/w", "n"]


def test_sha256_tells_content_shape_dtype_and_place():
    one = {"a": np.arange(6, dtype=np.int32)}
    others = [
        {"b": one["a"]},
        {"a": one["a"].reshape(2, 3)},
        {"a": one["a"].astype(np.int64)},
        {"a": one["a"].view(np.float32)},
        {"a": one["a"][::-1]},
        {"a": np.int32(0)},
        {"a": np.int32([0])},
        {"a": np.zeros(1, jnp.float8_e4m3fn)},
        {"a": np.zeros(1, jnp.float8_e5m2)},
    ]
    digests = {trees.sha256(t) for t in (one, *others)}
    assert len(digests) == 10
    assert trees.sha256({"a": jnp.arange(6, dtype=jnp.int32)}) in digests
    assert trees.sha256(one) == trees.sha256({"a": np.arange(12, dtype=np.int32)[:6]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trees.stack([]), "no trees to stack"),
        (
            lambda: trees.stack([tree(0), tree(0, units=4)]),
            r"a/w has shape \(2, 4\) in tree 1",
        ),
        (lambda: trees.stack([tree(0), {"a": tree(0)["a"]}]), "tree 1 .* structure"),
        (lambda: trees.take(trees.stack([tree(0)]), 1), "index 1 .* length 1"),
        (lambda: trees.take(trees.stack([tree(0)]), [0, -2]), "-2.* length 1"),
        (lambda: trees.take(trees.stack([tree(0)]), True), "bool; it must be integers"),
        (
            lambda: trees.combine(jnp.ones(3) / 3, trees.stack([tree(0), tree(1)])),
            "3 coordinates for 2 vertices",
        ),
        (lambda: trees.take(tree(0), 0), "one leading axis.*2 in a/w, None in n"),
        (
            lambda: trees.leading_size({"a": np.ones(3), "b": np.ones(4)}),
            "3 in a, 4 in b",
        ),
        (lambda: trees.leading_size({}), "there is no leaf"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
