"""Coordinates and barriers: hand-computed values, laws, refusals."""

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


def test_barrier_by_hand():
    coords = np.array([[1, 0], [0.75, 0.25], [0.5, 0.5], [0, 1]])
    values = np.array([1.0, 3.0, 3.4, 2.0])
    # interpolated baseline: 1, 1.25, 1.5, 2
    found = barrier(values, coords)
    assert found.value == pytest.approx(1.9)
    assert found.coords == (0.5, 0.5)
    assert found.points == 4
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
