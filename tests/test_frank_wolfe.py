"""Frank-Wolfe: the objective and its slopes, exact lines, no fall, planted copies."""

import itertools

import jax
import numpy as np
import pytest
from test_align_nested import SHAPES, inner
from test_align_nested import network as weights_of

from linconn_jax import models
from linconn_jax import permutation as pm
from linconn_jax.align import frank_wolfe, merge_many
from linconn_jax.align._compared import compared
from linconn_jax.align._frank_wolfe import maximum
from linconn_jax.align._relaxed import Relaxed, best_step, between, corner

KEY = jax.random.key(0)


def random(spec, tree, seed):
    rng, still = np.random.default_rng(seed), pm.bind(spec, tree).identity()
    return still.replace({n: rng.permuted(p, axis=-1) for n, p in still.items()})


def matrices(index):
    return np.eye(index.shape[-1])[index]


def relaxed(name, count, seed=0):
    """Networks of a spec, their objective, and a soft point inside."""
    spec = SHAPES[name][0]
    networks = [weights_of(name, seed + i)[1] for i in range(count)]
    found = compared(spec, networks)
    rng = np.random.default_rng(seed)
    soft = {}
    for i, axis in itertools.product(found.weights.moving, found.parents):
        shape = found.bound.shape(axis)
        drawn = rng.dirichlet(np.ones(5))
        orders = [rng.permuted(np.indices(shape)[-1], axis=-1) for _ in drawn]
        soft[i, axis] = sum(w * matrices(p) for w, p in zip(drawn, orders, strict=True))
    return spec, networks, found, Relaxed(found.weights), soft


def total(spec, networks):
    """The sum over all pairs, of what carries a name."""
    return sum(inner(spec, a, b) for a, b in itertools.combinations(networks, 2))


@pytest.mark.parametrize(("name", "count"), [*((x, 3) for x in SHAPES), ("dense", 2)])
def test_at_permutations_the_objective_is_the_sum_over_pairs(name, count):
    spec, networks, found, objective, soft = relaxed(name, count)
    still = [pm.bind(spec, x).identity() for x in networks]
    moving = found.weights.moving
    drawn = [
        random(spec, x, i) if i in moving else still[i] for i, x in enumerate(networks)
    ]
    hard = {(i, n): matrices(np.asarray(drawn[i][n])) for i, n in soft}
    moved = [pm.permute(spec, p, x) for p, x in zip(drawn, networks, strict=True)]
    expected = total(spec, moved)
    assert expected != pytest.approx(total(spec, networks), rel=1e-3)
    # 1e-5: float32 deviations from the leaves' means.
    assert found.objective(objective.objective(hard)) == pytest.approx(
        expected, rel=1e-5, abs=1e-4
    )


@pytest.mark.parametrize(("name", "count"), [*((x, 3) for x in SHAPES), ("dense", 2)])
def test_slopes_and_lines_are_those_of_the_objective(name, count):
    *_, objective, soft = relaxed(name, count)
    value, slopes = objective.slopes(soft)
    assert value == pytest.approx(objective.objective(soft), rel=1e-12)
    rng = np.random.default_rng(1)
    step = 1e-5
    for site, slope in slopes.items():
        direction = rng.normal(size=slope.shape)
        ends = [
            objective.objective({**soft, site: soft[site] + x * direction})
            for x in (step, -step)
        ]
        measured = (ends[0] - ends[1]) / (2 * step)
        assert measured == pytest.approx((slope * direction).sum(), rel=1e-5, abs=1e-5)
    end = corner(slopes)
    line = objective.line(soft, end)
    steps = np.linspace(-0.3, 1.2, 41)
    direct = [objective.objective(between(soft, end, t)) for t in steps]
    np.testing.assert_allclose(line(steps), direct, rtol=1e-9, atol=1e-9)
    assert line(best_step(line)) >= max(line(np.linspace(0, 1, 1001))) - 1e-9


def test_a_line_is_a_quartic_where_leaves_carry_two_names():
    *_, objective, _ = relaxed("dense", 3)
    assert objective.degree == 4
    *_, of_a_pair, _ = relaxed("dense", 2)
    assert of_a_pair.degree == 2


@pytest.mark.parametrize(
    ("coefficients", "expected"),
    [
        ((0.0, 1.0), 1.0),
        ((0.0, -1.0), 0.0),
        ((0.0, 1.0, -1.0), 0.5),
        ((0.0, -1.0, 0.0, 0.0, 2.0), 1.0),
        ((0.0, 0.0, 1.0, 0.0, -2.0), 0.5),
    ],
)
def test_the_best_step_by_hand(coefficients, expected):
    line = np.polynomial.Polynomial(coefficients)
    assert best_step(line) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "count"), [*((x, 3) for x in SHAPES), ("dense", 2)])
def test_no_step_lowers_the_objective(name, count):
    *_, objective, soft = relaxed(name, count, seed=5)
    start = objective.objective(soft)
    end, history, _ = maximum(objective, soft, 30, 1e-7)
    assert all(x < y for x, y in itertools.pairwise([start, *history]))
    towards = corner(objective.slopes(soft)[1])
    steps = np.linspace(0, 1, 101)
    along = [objective.objective(between(soft, towards, t)) for t in steps]
    assert history[0] >= max(along) - 1e-9 * abs(max(along))
    for matrix in end.values():  # still doubly stochastic
        assert matrix.min() >= 0
        np.testing.assert_allclose(matrix.sum(-1), 1, rtol=1e-9)
        np.testing.assert_allclose(matrix.sum(-2), 1, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "count"), [("dense", 3), ("attention", 3), ("stack", 2)]
)
def test_planted_copies_are_recovered(name, count):
    spec, a = weights_of(name, 1)
    planted = [random(spec, a, i) for i in range(count)]
    copies = [pm.permute(spec, p, a) for p in planted]
    found = frank_wolfe(spec, copies, key=KEY, restarts=6)
    assert found.objective == pytest.approx(total(spec, [a] * count), rel=1e-5)
    for copy in found.apply_all(copies):
        jax.tree.map(np.testing.assert_array_equal, copy, copies[0])


def test_what_is_told_of_a_run():
    model = models.build(
        "mlp", width=8, depth=2, norm="none", image_shape=(8, 8, 1), classes=10,
        mean=(0.3,), std=(0.4,),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    networks = [
        jax.tree.map(
            lambda x: rng.normal(size=x.shape).astype(np.float32), model.shapes
        )
        for _ in range(3)
    ]
    found = frank_wolfe(model.spec, networks, key=KEY, restarts=2, max_steps=20)
    moved = found.apply_all(networks)
    again = frank_wolfe(model.spec, moved, key=KEY, max_steps=0)
    assert again.naive == pytest.approx(found.objective, rel=1e-6)
    assert again.permutations == (pm.identity(model.spec, networks[0]),) * 3
    assert found.history[-1] == found.objective == max(found.reached)
    assert len(found.reached) == 2
    assert found.objective > found.naive
    searched = frank_wolfe(
        model.spec, networks, key=KEY, local_search=True, max_steps=20
    )
    alone = frank_wolfe(model.spec, networks, key=KEY, max_steps=20)
    assert searched.objective >= alone.objective == found.reached[0]
    best = merge_many(model.spec, networks, key=KEY, restarts=4).objective
    assert 0.8 * best < searched.objective < 1.25 * best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(restarts=0), "restarts=0; it must be an integer of at least 1"),
        (dict(max_steps=-1), "max_steps=-1"),
        (dict(tolerance=-0.1), "tolerance=-0.1"),
    ],
)
def test_wrong_options_are_explained(options, message):
    spec, a = weights_of("dense", 0)
    with pytest.raises(ValueError, match=message):
        frank_wolfe(spec, [a, a], **{"key": KEY} | options)
