"""How much seeds differ: exact where the model is exact, and what no model may break."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t as student_t

from experiments.measure.spread import spread

columns = arrays(np.float64, (4, 3), elements=st.floats(0, 1, width=32)).filter(
    lambda y: np.ptp(y, axis=1).max() > 1e-3
)
noises = arrays(np.float64, 4, elements=st.floats(1e-5, 1e-2))


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_one_cell_without_items_is_students_t(seeds):
    y = np.random.default_rng(seeds).normal(size=(1, seeds))
    found = spread(y, np.zeros(1))
    exact = student_t.ppf(0.975, seeds - 1) * y.std(ddof=1)
    assert student_t.ppf(0.975, found.freedom[0]) * np.sqrt(found.variance[0]) == pytest.approx(exact, rel=0.03)


def test_many_like_cells_of_many_seeds_pool_to_their_common_variance():
    y = np.random.default_rng(0).normal(0, 0.1, (40, 5))
    found = spread(y, np.zeros(40))
    pooled = y.var(axis=1, ddof=1).mean()
    assert np.sqrt(found.variance.mean()) == pytest.approx(np.sqrt(pooled), rel=0.08)
    assert (found.freedom > 15).all()


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_coverage_is_exact_in_the_normal_case(seeds):
    """Values normal with one variance, no items: 95 % of the intervals hold 0."""
    rng, inside = np.random.default_rng(seeds), []
    for _ in range(200):
        y = rng.normal(0, 0.1, (10, seeds))
        found = spread(y, np.zeros(10))
        half = student_t.ppf(0.975, found.freedom) * np.sqrt(found.variance / seeds)
        inside.append(np.abs(y.mean(axis=1)) <= half)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.025)


def test_what_all_cells_share_is_known_no_better_than_from_one():
    """One teacher's luck in all of 20 cells: the degrees of freedom of one."""
    rng = np.random.default_rng(1)
    y = rng.normal(0, 0.1, 3) + rng.normal(0, 1e-4, (20, 3))
    assert spread(y, np.zeros(20)).freedom.max() < 3
    assert spread(rng.normal(0, 0.1, (20, 3)), np.zeros(20)).freedom.min() > 5


def test_one_seed_knows_its_items_only():
    found = spread(np.array([[0.9], [0.8]]), np.array([0.001, 0.002]))
    assert found.variance.tolist() == [0.001, 0.002]
    assert np.isinf(found.freedom).all()


def test_a_cell_of_one_seed_learns_from_the_others():
    y = np.random.default_rng(2).normal(0.5, 0.1, (9, 3))
    y[0, 1:] = np.nan
    found = spread(y, np.full(9, 1e-5))
    assert np.sqrt(found.variance[0]) == pytest.approx(0.1, rel=0.35)
    assert np.isfinite(found.freedom[0])


def test_cells_at_the_edge_are_neither_lent_the_others_noise_nor_given_them_theirs():
    """Coding at 1.00 in all seeds beside reasoning between .4 and .8."""
    rng = np.random.default_rng(3)
    y = np.concatenate([np.ones((6, 3)), rng.normal(0.6, 0.08, (6, 3))])
    noise = np.concatenate([np.full(6, 1e-5), np.full(6, 8e-4)])
    found = spread(y, noise)
    half = student_t.ppf(0.975, found.freedom) * np.sqrt(found.variance / 3)
    assert half[:6].max() < 0.03
    assert half[6:].min() > 0.05


AT_ITS_NOISE = np.array([[0.01, 0.00996113, 0.00195312], [0.0023916, 0, 0], [0, 0, 0], [0, 0, 0]])
"""A column whose seeds differ by no more than its items say, so that the estimate of their part is 0 up to rounding."""


@given(columns, noises, st.permutations(range(3)))
@example(AT_ITS_NOISE, np.full(4, 0.00357608), [0, 2, 1])
@settings(max_examples=40, deadline=None)
def test_the_order_of_seeds_says_nothing(y, noise, order):
    a, b = spread(y, noise), spread(y[:, order], noise)
    assert a.variance == pytest.approx(b.variance, rel=1e-6)
    assert a.freedom == pytest.approx(b.freedom, rel=1e-6)


@given(columns, noises, st.permutations(range(4)))
@settings(max_examples=40, deadline=None)
def test_the_order_of_cells_says_nothing(y, noise, order):
    a, b = spread(y, noise), spread(y[order], noise[order])
    assert a.variance[order] == pytest.approx(b.variance, rel=1e-6)


@given(columns, noises, st.sampled_from([2.0**-6, 0.25, 4.0, 64.0]))
@settings(max_examples=40, deadline=None)
def test_the_unit_of_measurement_says_nothing(y, noise, factor):
    a, b = spread(y, noise), spread(factor * y, factor**2 * noise)
    assert factor**2 * a.variance == pytest.approx(b.variance, rel=1e-6)
    assert a.freedom == pytest.approx(b.freedom, rel=1e-6)


@given(columns, st.floats(1.05, 5))
@settings(max_examples=40, deadline=None)
def test_more_variance_between_seeds_widens_every_interval(y, factor):
    noise = np.full(4, 1e-4)
    away = y - y.mean(axis=1, keepdims=True)

    def halves(values):
        found = spread(values, noise)
        return student_t.ppf(0.975, found.freedom) * np.sqrt(found.variance)

    # where a node of the grid of m enters or leaves, a half-width moves by a few percent (.955 is the least seen)
    assert (halves(y + (factor - 1) * away) >= 0.9 * halves(y)).all()


def test_copies_of_a_cell_are_one_cell():
    y, noise = np.array([[0.5, 0.6, 0.8], [0.4, 0.4, 0.5]]), np.array([1e-3, 1e-3])
    once, often = spread(y, noise), spread(y[[0, 0, 0, 1]], noise[[0, 0, 0, 1]])
    assert often.variance == pytest.approx(once.variance[[0, 0, 0, 1]])
    assert often.freedom == pytest.approx(once.freedom[[0, 0, 0, 1]])


def test_nothing_varies():
    found = spread(np.full((3, 2), 0.5), np.zeros(3))
    assert found.variance.tolist() == [0, 0, 0]
