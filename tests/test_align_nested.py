"""Weight and activation matching of names under others, products, sums and stacks."""

import functools
import itertools

import jax
import numpy as np
import pytest

from linconn_jax import permutation as pm
from linconn_jax.align import _families, activation_matching, weight_matching
from linconn_jax.align._ascent import Ascent
from linconn_jax.align._compared import compared
from linconn_jax.permutation import Axes, Block, Concat, Fixed, Stacked, Units

QK, V = Units("qk", under="heads"), Units("v", under="heads")
ATTENTION = {
    "query": Axes("stream", "heads", QK),
    "key": Axes("stream", "heads", QK),
    "value": Axes("stream", "heads", V),
    "out": Axes("heads", V, "stream"),
    "embed": Axes(None, "stream"),
}
FUSED = {
    "qkv": Axes("stream", Block(Units("heads", 3), Concat(QK, QK, V))),
    "out": Axes(Block("heads", V), "stream"),
    "value": Axes("heads", V),
    "embed": Axes(None, "stream"),
}
GROUPED = {
    "before": Axes(None, Block("g", Units("in", under="g"))),
    "conv": Axes(None, Units("in", under="g"), Block("g", Units("out", under="g"))),
    "after": Axes(Block("g", Units("out", under="g")), None),
    "out": Axes("g", Units("out", under="g")),
}
DENSE = {
    "first": Axes(None, "a"),
    "second": Axes(Concat("a", 2), "b"),
    "flat": Axes(Concat(Block("a", 4), Block(3, "b")), "c"),
    "gates": Axes("c", Concat("h", "h", "h", "h")),
    "recurrent": Axes("h", Concat("h", "h", "h", "h")),
    "head": Axes("h", None),
}
STACK = {
    "in": Stacked(Axes("s", "m1"), Axes("s", "m2"), Axes("s", "m3")),
    "out": Stacked(Axes("m1", "s"), Axes("m2", "s"), Axes("m3", "s")),
    "embed": Axes(None, "s"),
}
LAYERS = {
    "in": Axes(Fixed("layers"), "s", Units("m", under="layers")),
    "out": Axes(Fixed("layers"), Units("m", under="layers"), "s"),
    "embed": Axes(None, "s"),
}
DEEP = {
    "a": Axes(None, "a", Units("b", under="a"), Units("c", under=("a", "b"))),
    "c": Axes(Units("c", under=("a", "b")), None, "a", Units("b", under="a")),
    "b": Axes(Block("a", Units("b", under="a"))),
}
IN = Units("in", under=("a", "b"))
BESIDE = {
    "a": Axes("a", None),
    "b": Axes("b", None),
    "in": Axes("a", "b", IN, None),
}
B, C = Units("b", under="a"), Units("c", under="a")
CROSSED = {
    "b": Axes("a", B, None),
    "c": Axes("a", C, None),
    "d": Axes("a", B, C, Units("d", under=("a", "b", "c")), None),
}
SHAPES = {
    "attention": (
        ATTENTION,
        dict(
            query=(6, 3, 4), key=(6, 3, 4), value=(6, 3, 2), out=(3, 2, 6), embed=(5, 6)
        ),
    ),
    "fused": (FUSED, dict(qkv=(6, 30), out=(12, 6), value=(3, 4), embed=(5, 6))),
    "grouped": (GROUPED, dict(before=(9, 8), conv=(9, 2, 12), after=(12, 5), out=(4, 3))),
    "dense": (
        DENSE,
        dict(
            first=(3, 5), second=(7, 4), flat=(32, 6), gates=(6, 20), recurrent=(5, 20),
            head=(5, 3),
        ),
    ),
    "stack": (STACK, dict(embed=(5, 6), **{"in": (3, 6, 4), "out": (3, 4, 6)})),
    "layers": (LAYERS, dict(embed=(5, 6), **{"in": (3, 6, 4), "out": (3, 4, 6)})),
    "deep": (DEEP, dict(a=(5, 3, 2, 4), c=(4, 5, 3, 2), b=(6,))),
    "beside": (BESIDE, {"a": (3, 6), "b": (4, 6), "in": (3, 4, 3, 6)}),
    "crossed": (CROSSED, dict(b=(2, 3, 6), c=(2, 3, 6), d=(2, 3, 3, 2, 6))),
}  # fmt: skip


def network(name, seed):
    spec, shapes = SHAPES[name]
    rng = np.random.default_rng(seed)
    return spec, {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}


def random(spec, tree, seed):
    return jax.tree.map(np.asarray, pm.random(jax.random.key(seed), spec, tree))


def carries_names(axes):
    return isinstance(axes, Stacked) or any(x is not None for x in axes.labels)


def inner(spec, a, b):
    named = [n for n in a if carries_names(spec[n])]
    return sum(np.vdot(np.float64(a[n]), np.float64(b[n])) for n in named)


def match(spec, a, b, **options):
    return weight_matching(spec, a, b, key=jax.random.key(0), **options)


@pytest.mark.parametrize("name", SHAPES)
def test_a_planted_permutation_is_recovered(name):
    spec, a = network(name, 1)
    planted = random(spec, a, 2)
    found = match(spec, a, pm.permute(spec, planted, a))
    assert found.objective == pytest.approx(inner(spec, a, a), rel=1e-5)
    assert pm.compose(planted, found.permutation) == pm.identity(spec, a)
    assert found.naive < 0.9 * found.objective


def ascent(spec, *networks):
    found = compared(spec, networks)
    terms, moving = [found.weights], found.weights.moving
    accepts = lambda gain, scale: gain > 1e-6 * scale  # noqa: E731
    return Ascent(found.bound, found.parents, terms, moving, accepts)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", SHAPES)
def test_the_objective_is_exact_and_no_step_lowers_it(name, count, monkeypatch):
    spec = SHAPES[name][0]
    networks = [network(name, 3 + i)[1] for i in range(count)]
    reached, kept = [], 0

    def improve(self, site):
        nonlocal kept
        moved = original(self, site)
        now = [
            pm.permute(spec, p, x) for p, x in zip(self.found, networks, strict=True)
        ]
        (weights,), fresh = self.terms, compared(spec, now).weights
        for i, number in np.ndindex(count, len(weights.parts)):
            x, y = weights.current(i, number), fresh.current(i, number)
            # 1e-6: the mean of a leaf, summed in another order, is subtracted.
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-6)
        for i, axis in weights._kept:
            similarity, anew = weights.similarity(i, axis), fresh.similarity(i, axis)
            # 1e-5: float32 sums of up to 200 products of numbers near 1.
            np.testing.assert_allclose(similarity, anew, rtol=0, atol=1e-5)
            kept += 1
        reached.append(self.objective())
        assert self.value == pytest.approx(reached[-1], rel=1e-5, abs=1e-5)
        return moved

    original = Ascent.improve
    monkeypatch.setattr(Ascent, "improve", improve)
    start = ascent(spec, *networks)
    rising = [start.objective()]
    sites = list(itertools.product(start.moving, start.parents))
    (run,) = start.each([lambda one: one.climb(itertools.repeat(sites))])
    rising += reached
    # 1e-6: float32 similarities decide, float64 sums are compared.
    assert all(y >= x - 1e-6 * abs(x) for x, y in itertools.pairwise(rising))
    assert run.converged
    assert run.objective == pytest.approx(rising[-1], rel=1e-6)
    assert kept > len(sites)
    if count == 2:
        found = match(spec, *networks)
        one, other = networks
        moved = pm.permute(spec, found.permutation, other)
        assert found.naive == pytest.approx(inner(spec, one, other), rel=1e-6)
        assert found.objective == pytest.approx(inner(spec, one, moved), rel=1e-6)
        assert found.objective > found.naive


def everything(spec, tree):
    """All elements of the group."""
    one = pm.identity(spec, tree)
    choices = []
    for index in one.values():
        rows = int(np.prod(index.shape[:-1]))
        orders = itertools.permutations(range(index.shape[-1]))
        tables = itertools.product(list(orders), repeat=rows)
        choices.append([np.array(t).reshape(index.shape) for t in tables])
    for choice in itertools.product(*choices):
        yield dict(zip(one, choice, strict=True))


TINY = {
    "query": Axes(None, Block(Units("heads", 2), QK)),
    "value": Axes("heads", V, None),
    "bias": Axes("heads", None),
}


@pytest.mark.parametrize("seed", range(2))
def test_heads_and_their_insides_are_solved_exactly(seed):
    rng = np.random.default_rng(seed)
    shapes = dict(query=(4, 6), value=(2, 3, 2), bias=(2, 1))
    spec = TINY
    a, b = (
        {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
        for _ in range(2)
    )
    best = max(inner(spec, a, pm.permute(spec, p, b)) for p in everything(spec, a))
    found = match(spec, a, b)
    # One step on "heads" sees everything: pieces have at most one name under it.
    assert found.objective == pytest.approx(best, rel=1e-5)


def test_one_step_on_heads_puts_their_insides_in_order_too():
    spec, a = network("attention", 1)
    one = pm.identity(spec, a)
    inside = {"heads": [1, 2, 0], "qk": [[3, 1, 0, 2]] * 3, "v": [[1, 0]] * 3}
    moved = pm.permute(spec, {**one, **inside}, a)
    start = ascent(spec, a, moved)
    assert start.improve((1, "heads"))
    same = ascent(spec, a, a).objective()
    assert start.objective() == pytest.approx(same, rel=1e-6)
    assert not any(start.improve((1, name)) for name in one)


def activations(variables, images):
    """Of the attention: the stream, and what the heads make of it."""
    stream = images @ variables["embed"]
    return {
        "stream": stream,
        "qk": jax.numpy.einsum("ns,shk->nhk", stream, variables["query"]),
        "v": jax.numpy.einsum("ns,shk->nhk", stream, variables["value"]),
    }


@pytest.mark.parametrize("similarity", ["raw", "pearson"])
def test_activation_matching_of_nested_names(similarity):
    spec, a = network("attention", 1)
    planted = random(spec, a, 2)
    images = np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32)
    b = pm.permute(spec, planted, a)
    found = activation_matching(
        spec,
        None,
        a,
        b,
        images,
        activations=activations,
        similarity=similarity,
        batch_size=100,
    )
    assert pm.compose(planted, found.permutation) == pm.identity(spec, a)
    assert found.objective > found.naive


def linear(variables, images):
    """Of the specs whose leaves each read the images and make one name's units."""
    return {
        name: jax.numpy.moveaxis(w @ images.T, -1, 0) for name, w in variables.items()
    }


@pytest.mark.parametrize("name", ["beside", "crossed"])
def test_activation_matching_under_names_beside_each_other(name):
    images = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    matching = functools.partial(activation_matching, activations=linear)
    for seed in range(5):
        spec, a = network(name, seed)
        planted = random(spec, a, seed + 10)
        b = pm.permute(spec, planted, a)
        found = matching(spec, None, a, b, images).permutation
        assert pm.compose(planted, found) == pm.identity(spec, a)
        _, b = network(name, seed + 20)
        found = matching(spec, None, a, b, images)
        assert found.objective > found.naive
        moved = pm.permute(spec, found.permutation, b)
        reached = matching(spec, None, a, moved, images)
        # What it says that it reached is what is there, and nothing is left to gain.
        assert reached.naive == pytest.approx(found.objective, rel=1e-5)
        assert reached.permutation == pm.identity(spec, a)


def test_activations_of_another_shape_are_refused():
    spec, a = network("attention", 1)
    images = np.zeros((4, 5), np.float32)

    def turned(variables, images):
        found = activations(variables, images)
        return {**found, "qk": found["qk"].swapaxes(1, 2)}

    with pytest.raises(ValueError, match=r"\(4, 4, 3\).*'qk'.*\[samples, 3, 4\]"):
        activation_matching(spec, None, a, a, images, activations=turned)


def test_a_parent_without_activations_or_children_is_refused():
    spec = {"a": Axes(None, "heads", QK), "b": Axes("other")}
    a = {"a": np.ones((2, 3, 4), np.float32), "b": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match=r"axis names \['other', 'qk'\]"):
        activation_matching(
            spec,
            None,
            a,
            a,
            np.ones((4, 2), np.float32),
            activations=lambda v, x: {},
        )


def test_a_name_is_assigned_with_all_that_lies_under_it_as_brute_force_does():
    """Heads with what is inside of each, from similarities of all units with all."""
    shape = {"heads": (3,), "qk": (3, 2), "v": (3, 3)}
    tree = {"w": np.zeros((3, 2)), "u": np.zeros((3, 3))}
    bound = pm.bind({"w": Axes("heads", QK), "u": Axes("heads", V)}, tree)
    rng = np.random.default_rng(0)
    alike = {x: rng.normal(size=(np.prod(n),) * 2) for x, n in shape.items()}
    every = [np.array(x) for x in itertools.permutations(range(3))]

    def value(indices):
        total = 0.0
        for name, found in indices.items():
            grid = alike[name].reshape(shape[name] * 2)
            for place in np.ndindex(shape[name]):
                inside = (found[place],) if name != "heads" else ()
                total += grid[(*place, indices["heads"][place[0]], *inside)]
        return total

    def inside(name, i, head):
        orders = every if name == "v" else [np.array([0, 1]), np.array([1, 0])]
        grid = alike[name].reshape(shape[name] * 2)[i, :, head]
        return max(orders, key=lambda p: grid[np.arange(len(p)), p].sum())

    def whole(heads):
        below = {x: [inside(x, i, heads[i]) for i in range(3)] for x in ("qk", "v")}
        return {"heads": heads, **{x: np.array(p) for x, p in below.items()}}

    wanted = max(map(whole, every), key=value)
    still = {x: np.broadcast_to(np.arange(n[-1]), n) for x, n in shape.items()}
    found, gain, _ = _families.best(bound, bound.parents, "heads", alike.get)
    assert {x: p.tolist() for x, p in found.items()} == {
        x: p.tolist() for x, p in wanted.items()
    }
    assert gain == pytest.approx(value(wanted) - value(still))
