"""Coordinates and barriers: hand-computed values, laws, refusals."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from linconn_jax import simplex
from linconn_jax.barrier import BASELINES, barrier


def test_segment():
    coords = simplex.segment(25)
    np.testing.assert_allclose(coords[:, 1], np.arange(25) / 24, rtol=1e-15)
    assert coords[12].tolist() == [0.5, 0.5]  # the grid is centred


@pytest.mark.parametrize(
    ("k", "resolution"), [(2, 1), (2, 24), (3, 10), (5, 3), (7, 2)]
)
def test_grid(k, resolution):
    coords = simplex.grid(k, resolution)
    assert coords.shape == (simplex.grid_size(k, resolution), k)
    np.testing.assert_allclose(coords.sum(axis=1), 1.0, rtol=1e-15)
    assert coords.min() >= 0
    assert len(np.unique(coords, axis=0)) == len(coords)
    multiples = coords * resolution
    np.testing.assert_allclose(multiples, np.round(multiples), atol=1e-12)
    assert (simplex.check(coords, k) == coords).all()


def test_grid_of_two_is_the_segment():
    np.testing.assert_allclose(simplex.grid(2, 24), simplex.segment(25), atol=1e-15)


@pytest.mark.parametrize(
    ("k", "resolution"), [(3, 1), (3, 10), (4, 5), (6, 4), (7, 1), (8, 2), (10, 2)]
)
def test_points_of_a_simplex(k, resolution):
    coords = simplex.points(k, resolution)
    on_grid = simplex.grid(k, resolution)
    np.testing.assert_array_equal(coords[: len(on_grid)], on_grid)
    np.testing.assert_allclose(coords.sum(axis=1), 1.0, rtol=1e-15)
    assert len(np.unique(coords.round(9), axis=0)) == len(coords)
    inside = (coords > 0).all(axis=1).sum()
    assert simplex.count_inside(coords) == inside >= simplex.INSIDE
    faces = [np.array(x) for x in itertools.product([0, 1], repeat=k) if any(x)]
    if k > simplex.ALL_FACES:
        faces = [x for x in faces if x.sum() in (1, 2, k - 1, k)]
    for face in faces:  # vertices, edges, ... and the whole
        assert np.abs(coords - face / face.sum()).max(axis=1).min() < 1e-12


def test_a_grid_alone_has_no_inside():
    """What `points` adds: with a resolution below k there are faces only."""
    assert simplex.count_inside(simplex.grid(6, 4)) == 0
    for k, resolution in ((3, 10), (4, 5), (6, 4)):
        off = np.abs(simplex.grid(k, resolution) - 1 / k).max(axis=1)
        assert off.min() > 0.01
    # A saddle, which is 0 on all faces: the barrier is inside, and is found there.
    coords = simplex.points(6, 4)
    found = barrier(coords.prod(axis=1) * 6**6, coords)
    assert found.value == pytest.approx(1)
    assert found.coords == pytest.approx([1 / 6] * 6)
    assert found.inside == simplex.INSIDE
    assert barrier(simplex.grid(6, 4).prod(axis=1), simplex.grid(6, 4)).value == 0


def test_drawn_points_are_the_same_everywhere():
    """Whole numbers made of raw bits, whose stream NumPy keeps; uniform in the inside."""
    coords = simplex.points(3, 1, inside=4)[-3:]
    expected = [[0.236, 0.2971, 0.4669], [0.4905, 0.3021, 0.2074]]
    assert coords[:2].tolist() == expected
    assert simplex.points(3, 1, inside=4, seed=1)[-1].tolist() != coords[-1].tolist()
    assert len(simplex.points(3, 12)) == simplex.grid_size(3, 12)  # has an inside
    many = simplex.points(4, 1, inside=4000)[-3999:]
    assert many.min() > 0
    # Uniform on the simplex: mean 1 / k, variance (k - 1) / k² (k + 1); 4 errors wide.
    np.testing.assert_allclose(many.mean(axis=0), 1 / 4, atol=4 * 0.194 / 3999**0.5)
    np.testing.assert_allclose(many.var(axis=0), 3 / 80, rtol=0.08)


def test_barrier_by_hand():
    coords = np.array([[1, 0], [0.75, 0.25], [0.5, 0.5], [0, 1]])
    values = np.array([1.0, 3.0, 3.4, 2.0])
    # interpolated baseline: 1, 1.25, 1.5, 2
    found = barrier(values, coords)
    assert found.value == pytest.approx(1.9)
    assert found.coords == (0.5, 0.5)
    assert found.points == 4
    assert found.inside == 2
    assert barrier(values, coords, baseline="mean").value == pytest.approx(1.9)
    assert barrier(values, coords, baseline="max").value == pytest.approx(1.4)


def test_baselines_differ_where_the_maximum_is_off_centre():
    coords = np.array([[1, 0], [0.75, 0.25], [0, 1]])
    values = np.array([0.0, 3.0, 2.0])
    got = [barrier(values, coords, baseline=b).value for b in BASELINES]
    assert got == pytest.approx([2.5, 2.0, 1.0])


values_of_six = hnp.arrays(np.float64, 6, elements=st.floats(-5, 5))


@given(values_of_six)
def test_barrier_is_at_least_zero(values):
    coords = simplex.grid(3, 2)
    assert barrier(values, coords).value >= 0
    assert barrier(values, coords, baseline="max").value >= 0


@given(hnp.arrays(np.float64, 3, elements=st.floats(-5, 5)))
def test_an_affine_landscape_has_no_barrier(ends):
    coords = simplex.grid(3, 6)
    assert barrier(coords @ ends, coords).value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("k", "resolution"), [(2, 14), (3, 4)])
def test_rows_may_come_in_any_order(k, resolution, baseline):
    coords, values = (
        simplex.grid(k, resolution),
        np.random.default_rng(0).normal(size=15),
    )
    order = np.random.default_rng(1).permutation(15)
    found = barrier(values[order], coords[order], baseline=baseline)
    assert found == barrier(values, coords, baseline=baseline)


def test_a_non_finite_value_is_not_hidden():
    coords = simplex.segment(3)
    assert np.isnan(barrier(np.array([0.0, np.nan, 1.0]), coords).value)
    assert barrier(np.array([0.0, np.inf, 1.0]), coords).value == np.inf
    assert np.isnan(barrier(np.array([np.inf, 1.0, 2.0]), coords).value)
    both = barrier(np.array([0.0, np.inf, np.nan, 1.0]), simplex.segment(4))
    assert np.isnan(both.value)
    assert both.coords == tuple(simplex.segment(4)[2])


def test_a_vertex_counts_only_where_it_takes_part():
    """The edge opposite an infinite vertex has a finite interpolated baseline."""
    coords = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [0, 0, 1]])
    with np.errstate(all="raise"):
        found = barrier(np.array([1.0, 3.0, 2.5, np.inf]), coords)
    assert np.isnan(found.value)
    assert found.coords == (0.0, 0.0, 1.0)


def test_coordinates_may_be_rounded_but_not_wrong():
    simplex.check(simplex.grid(7, 3).astype(np.float32), 7)
    for wrong in ([0.5, 0.5 + 1e-5], [1 + 1e-5, -1e-5], [0.5, 0.5 - 1e-5]):
        with pytest.raises(ValueError, match="row 0 of coords"):
            simplex.check(np.array([wrong]), 2)


def test_refused_types(unchecked):
    plain = unchecked(simplex)
    with pytest.raises(ValueError, match=r"points=2\.5"):
        plain.segment(2.5)
    with pytest.raises(ValueError, match="k='3'"):
        plain.grid("3", 4)
    with pytest.raises(ValueError, match="resolution=None"):
        plain.grid(3, None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simplex.segment(1), "points=1; it must be an integer of at least 2"),
        (lambda: simplex.grid(1, 4), "k=1"),
        (lambda: simplex.grid(3, 0), "resolution=0"),
        (lambda: simplex.points(1, 4), "k=1; it must be an integer from 3"),
        (lambda: simplex.points(2, 4), r"of two: simplex\.segment"),
        (lambda: simplex.points(3, 0), "resolution=0"),
        (lambda: simplex.points(3, 2, inside=-1), "inside=-1"),
        (lambda: simplex.points(3, 2, seed=-1), "seed=-1"),
        (lambda: simplex.check(np.ones((3, 1)), 1), "k=1"),
        (lambda: simplex.check(np.ones((2, 2)) * 0.4, 2), "sums to 0.8"),
        (lambda: simplex.check(np.array([[1.5, -0.5]]), 2), "outside the simplex"),
        (lambda: simplex.check(np.array([[np.nan, 1.0]]), 2), "not finite"),
        (lambda: simplex.check(np.ones((2, 3)) / 3, 2), r"must be \[points, 2\]"),
        (lambda: simplex.check(np.ones((0, 2)), 2), r"at least one row"),
        (lambda: barrier(np.ones(3), simplex.segment(4)), "one value for each row"),
        (lambda: barrier(np.ones(3), simplex.segment(3), baseline="x"), "baseline='x'"),
        (
            lambda: barrier(np.ones(2), np.array([[1, 0], [0.5, 0.5]])),
            r"no row for vertex \[1\]",
        ),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
