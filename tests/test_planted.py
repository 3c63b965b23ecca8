"""What the benchmark of planted permutations measures, and its transformer's spec."""

import dataclasses
import importlib
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from zoo.case import draw, random_element

from linconn_jax import align
from linconn_jax import permutation as pm
from linconn_jax.extras import unidentifiable
from linconn_jax.permutation import Axes

SHAPE = (4, 4, 1)


@pytest.fixture(scope="module", autouse=True)
def benchmark():
    """The modules of the folder, which is no package."""
    folder = str(Path(__file__).parent.parent / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("planted"), importlib.import_module("transformer")
    sys.path.remove(folder)


SPEC = {"w": Axes(None, "a"), "v": Axes("a", None)}


def apply(variables, x):
    return jax.nn.relu(x @ variables["w"]) @ variables["v"]


def network():
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(3, 5)), rng.normal(size=(5, 2))
    v[1] = v[3] = 0  # nobody reads these two
    return {"w": w.astype(np.float32), "v": v.astype(np.float32)}


@pytest.mark.usefixtures("x64")
def test_shares_are_of_units_put_back_modulo_those_nobody_can_tell(benchmark):
    planted, a = benchmark[0], network()
    inputs = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    spec, flags = pm.bind(SPEC, a), unidentifiable(apply, SPEC, a, inputs)
    p = random_element(SPEC, a, 3)

    def share(wanted):
        """Of a permutation that puts unit wanted[i] in place i of the reference."""
        back = pm.from_indices(spec, None, {"a": np.array(wanted)})
        return planted.shares(p, pm.compose(pm.inverse(p), back), flags)["a"]

    assert p != spec.identity()
    assert share([0, 1, 2, 3, 4]) == 1
    assert share([0, 3, 2, 1, 4]) == 1
    assert share([2, 1, 0, 3, 4]) == pytest.approx(0.6)
    assert share([1, 0, 2, 3, 4]) == pytest.approx(0.6)
    # Where nothing is put back, only the two are where they may be.
    still = planted.shares(p, spec.identity(), flags)["a"]
    classes = [0, -1, 2, -1, 4]
    assert still == np.mean(
        [classes[i] == c for i, c in zip(p["a"], classes, strict=True)]
    )


def test_networks_of_other_recipes_have_other_files(benchmark):
    module = importlib.import_module("networks")
    for recipe in module.RECIPES.values():
        told = module._described(recipe)
        for change in ({"epochs": 7}, {"rate": 7.0}, {"optimizer": "x"}, {"warmup": 7}):
            assert module._described(dataclasses.replace(recipe, **change)) != told
    names = [*map(module._described, module.RECIPES.values())]
    assert "depth-3" in names[0]
    assert "heads-4" in names[2]


def test_noise_is_relative_to_each_leaf(benchmark):
    a = {"x": np.full(4000, 100.0, np.float32), "y": np.full(4000, -1e-3, np.float32)}
    rng = np.random.default_rng(0)
    moved = benchmark[0].noisy(a, 0.3, rng)
    for name, leaf in a.items():
        # 5 %: the standard deviation of 4000 draws is known to 1.1 %.
        assert np.std(moved[name]) == pytest.approx(0.3 * abs(leaf[0]), rel=0.05)
    assert benchmark[0].noisy(a, 0, rng)["x"].tolist() == a["x"].tolist()


def test_the_transformer_has_the_symmetries_of_its_spec(benchmark):
    module = benchmark[1]
    sizes = {"shape": SHAPE, "depth": 1, "width": 6, "heads": 2, "inside": 3}
    shapes = jax.eval_shape(lambda key: module.init(key, **sizes), jax.random.key(0))
    spec, a = module.spec(1), jax.tree.map(np.asarray, draw(shapes))
    images = np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.uint8)
    p = random_element(spec, a, 1)
    b = pm.permute(spec, p, a)
    logits, found = jax.jit(module.apply), jax.jit(module.activations)
    # 1e-4: float32 sums of this network in another order, of logits near 1.
    np.testing.assert_allclose(logits(b, images), logits(a, images), atol=1e-4)
    ours, theirs = found(a, images), found(b, images)
    heads, *inner = "block_0/heads", "block_0/heads/qk", "block_0/heads/v"
    assert {heads, *ours} == {*p}
    for name in inner:
        moved = np.take_along_axis(
            ours[name][:, p[heads]], np.asarray(p[name])[None], axis=-1
        )
        np.testing.assert_allclose(theirs[name], moved, atol=1e-4)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-4)


def test_several_networks_are_one_permuted_in_as_many_ways(benchmark):
    planted, a = benchmark[0], network()
    spec = pm.bind(SPEC, a)
    drawn, several = planted.planted(spec, a, 3, 0.0, repeat=1)
    assert drawn[0] != drawn[1]
    back = [spec.identity(), *map(pm.inverse, drawn)]
    for p, other in zip(back, several, strict=True):
        moved = pm.permute(spec, p, other)
        assert all(np.array_equal(moved[x], a[x]) for x in a)
    # Three pairs, of which all are the network with itself.
    norm = sum(np.vdot(x, x) for x in map(np.float64, a.values()))
    assert planted.product(spec, several, back) == pytest.approx(3 * norm)
    assert planted.product(spec, several, [spec.identity()] * 3) < 2.9 * norm


def test_heads_and_what_is_inside_them_are_found_again(benchmark):
    """By weights, by activations and by both, of a transformer with random leaves."""
    planted, module = benchmark
    sizes = {"shape": SHAPE, "depth": 1, "width": 6, "heads": 2, "inside": 3}
    shapes = jax.eval_shape(lambda key: module.init(key, **sizes), jax.random.key(0))
    a = jax.tree.map(np.asarray, draw(shapes))
    images = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype(np.uint8)
    spec = pm.bind(pm.discover(module.apply, shapes, images[:2]), a)
    drawn, several = planted.planted(spec, a, 2, 0.0, repeat=0)
    assert sum(bool(above) for above in spec.parents.values()) == 2  # nested names
    for method, settings in (
        ("weight_matching", {"restarts": 8}),
        ("activation_matching", None),
        ("fused_matching", None),
    ):
        found = align.joint(
            spec,
            several,
            key=jax.random.key(0),
            method=method,
            apply=module.apply,
            inputs=images,
            settings=settings,
        )
        still = pm.compose(drawn[0], found.permutation)
        assert still == spec.identity(), method
