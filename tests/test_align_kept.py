"""What an ascent keeps instead of computing it anew: the same to the last bit."""

import itertools

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from linconn_jax import models
from linconn_jax import permutation as pm
from linconn_jax.align import assignment
from linconn_jax.align._activations import Activations

MODEL = models.build(
    "mlp", depth=3, width=8, image_shape=(4, 4, 1), classes=3, mean=(0.0,), std=(1.0,)
)
BOUND = pm.bind(MODEL.spec, MODEL.shapes)


def term(count, rng):
    """Similarities of k networks' units that are not alike."""
    pairs = {
        both: {name: rng.normal(size=2 * BOUND.shape(name)) for name in BOUND.parents}
        for both in itertools.combinations(range(count), 2)
    }
    return Activations(BOUND, BOUND.parents, pairs, range(count == 2, count))


def test_similarities_of_activations_are_kept_to_the_last_bit():
    rng = np.random.default_rng(0)
    for count in (2, 4):
        kept = term(count, rng)
        copied = kept
        for step in range(12):
            i = kept.moving[rng.integers(len(kept.moving))]
            name = sorted(BOUND.parents)[rng.integers(len(BOUND.parents))]
            still = BOUND.identity()
            moved = still.replace({**still, name: rng.permutation(8)})
            kept.step(i, moved, {name})
            fresh = Activations(BOUND, BOUND.parents, kept.pairs, kept.moving)
            fresh.found = list(kept.found)
            if step == 6:  # a copy goes on by itself
                copied, kept = kept, kept.copied()
                before = list(copied.found)
            for j, other in itertools.product(kept.moving, BOUND.parents):
                if rng.random() < 0.6 or step == 11:  # others are behind several steps
                    found, anew = (x.similarity(j, other) for x in (kept, fresh))
                    np.testing.assert_array_equal(found, anew)
        assert copied.found == before != kept.found


def test_similarities_of_a_copy_are_its_own():
    one = term(3, np.random.default_rng(1))
    name = sorted(BOUND.parents)[0]
    before = one.similarity(0, name).copy()
    other, still = one.copied(), BOUND.identity()
    other.step(1, still.replace({**still, name: np.roll(np.arange(8), 1)}), {name})
    assert not np.array_equal(other.similarity(0, name), before)
    np.testing.assert_array_equal(one.similarity(0, name), before)


@pytest.mark.parametrize("units", [assignment.LARGE - 1, assignment.LARGE, 90])
def test_assignments_are_best_whatever_is_known_beforehand(units):
    rng = np.random.default_rng(units)
    x, eye = rng.normal(size=(units, units)), np.eye(units)
    planted = rng.permutation(units)
    half = np.r_[rng.permutation(units // 2), np.arange(units // 2, units)]
    cases = {
        "unlike": x,
        "in place": x + 9 * eye,
        "planted": x + 9 * eye[planted],
        "partly in place": x + 9 * eye[half],
        "all alike": np.zeros((units, units)),
        "many ties": np.round(x),
        "large": np.float32(1e6) * np.float32(x),
        "one far above": np.where(eye, 1e9 * (rng.random(units) > 0.9), x),
    }
    for similarity in cases.values():
        found = assignment.maximize(similarity)
        assert sorted(found) == list(range(units))
        best = similarity[linear_sum_assignment(similarity, maximize=True)].sum()
        # 1e-12 of float64 sums; in float32 the sum itself is rounded.
        error = 1e-12 if similarity.dtype == np.float64 else 1e-6
        scale = units * float(np.abs(similarity).max())
        reached = assignment.value(similarity, found)
        assert reached == pytest.approx(best, rel=0, abs=error * scale)
    for name in ("planted", "in place", "partly in place"):
        expected = {"planted": planted, "in place": np.arange(units)}.get(name, half)
        np.testing.assert_array_equal(assignment.maximize(cases[name]), expected)
    assert not np.array_equal(planted, np.arange(units))


def test_where_nothing_is_gained_units_stay():
    """Units that are all alike are left where they are, as the solver does by chance."""
    alike = np.zeros((assignment.LARGE, assignment.LARGE))
    found = jax.tree.map(assignment.maximize, [alike, alike + 1.0])
    assert all(np.array_equal(x, np.arange(len(alike))) for x in found)
