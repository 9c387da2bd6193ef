"""Minimax mixtures against games whose solution is known, and what holds of every game."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from experiments.measure.dominance import dominated
from experiments.measure.estimate import estimates
from experiments.measure.matrix_draws import redrawn
from experiments.measure.matrix_game import pure, solved
from experiments.measure.quantity import GROUPS, Quantity, linear, plain

PENNIES = np.array([[1.0, -1.0], [-1.0, 1.0]])
ROCK_PAPER_SCISSORS = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
SADDLE = np.array([[0.3, 0.5], [0.9, 0.6]])
"""Row 0 loses at most .5, column 1 gains at least .5."""


@pytest.mark.parametrize(
    ("losses", "value", "rows", "columns"),
    [
        (PENNIES, 0.0, [0.5, 0.5], [0.5, 0.5]),
        (ROCK_PAPER_SCISSORS, 0.0, [1 / 3] * 3, [1 / 3] * 3),
        (SADDLE, 0.5, [1, 0], [0, 1]),
        # 2 x 2 without a saddle point: p = (d - c)/(a - b - c + d), q = (d - b)/(...), value = (ad - bc)/(...).
        (np.array([[3.0, 1.0], [0.0, 2.0]]), 1.5, [0.5, 0.5], [0.25, 0.75]),
        (np.array([[3.0, 1.0], [0.0, 2.0], [4.0, 3.0]]), 1.5, [0.5, 0.5, 0], [0.25, 0.75]),
        (np.array([[0.7]]), 0.7, [1], [1]),
        (np.zeros((2, 1)), 0.0, None, [1]),
    ],
)
def test_known_games(losses, value, rows, columns):
    found = solved(losses)
    assert found.value == pytest.approx(value, abs=1e-9)
    assert rows is None or found.rows == pytest.approx(rows, abs=1e-9)
    assert found.columns == pytest.approx(columns, abs=1e-9)


def test_what_each_side_secures_alone():
    assert pure(SADDLE) == (0.5, 0.5, 1, 0)
    assert pure(PENNIES)[:2] == (-1.0, 1.0)


MATRICES = arrays(np.float64, some.tuples(some.integers(1, 5), some.integers(1, 5)), elements=some.integers(-9, 9))


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_the_value_lies_between_what_each_side_secures_alone_and_mixtures_secure_it(losses):
    found, alone = solved(losses), pure(losses)
    assert alone.maxmin - 1e-9 <= found.value <= alone.minmax + 1e-9
    for mixture in (found.rows, found.columns):
        assert mixture.min() >= 0
        assert mixture.sum() == pytest.approx(1)
    assert (found.rows @ losses).max() == pytest.approx(found.value, abs=1e-7)
    assert (losses @ found.columns).min() == pytest.approx(found.value, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(MATRICES, some.integers(-5, 5), some.sampled_from([0.5, 2.0, 8.0]))
def test_a_constant_and_a_scale_change_no_mixture(losses, constant, scale):
    found, moved = solved(losses), solved(scale * losses + constant)
    assert moved.value == pytest.approx(scale * found.value + constant, abs=1e-7)
    assert moved.rows == pytest.approx(found.rows, abs=1e-7)


def test_sides_change_places():
    losses = np.array([[3.0, 1.0, 2.0], [0.0, 2.0, 5.0]])
    found, turned = solved(losses), solved(-losses.T)
    assert turned.value == pytest.approx(-found.value)
    assert turned.rows == pytest.approx(found.columns)


def measured(values, noise=0.0, shared=0.0, seed=0):
    """A quantity with item noise; ``shared`` moves all quantities of the same generator alike."""
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((len(values), GROUPS)) * noise / np.sqrt(GROUPS)
    items -= items.mean(axis=1, keepdims=True)
    common = np.random.default_rng(99).standard_normal(len(values)) * shared
    return Quantity(tuple(range(len(values))), np.array(values) + common, items, np.zeros(len(values)))


def test_draws_of_a_measure_have_its_printed_interval():
    quantities = [measured([0.1, 0.3, 0.2, 0.25], 0.02, seed=1), measured([0.7, 0.72, 0.69, 0.7], 0.05, seed=2)]
    printed = estimates(quantities)
    drawn = redrawn(quantities, printed, 20_000, np.random.default_rng(0))
    for column, estimate in enumerate(printed):
        assert drawn[:, column].mean() == pytest.approx(estimate.value, abs=0.003)
        low, high = np.quantile(drawn[:, column], [0.025, 0.975])
        assert high - low == pytest.approx(estimate.high - estimate.low, rel=0.15)


def test_draws_keep_what_measures_share():
    luck = [0.1, 0.3, 0.2, 0.25, 0.05]
    quantities = [measured(luck, 0.02, seed=1), measured([0.4 + x for x in luck], 0.02, seed=1)]
    drawn = redrawn(quantities, estimates(quantities), 2000, np.random.default_rng(0))
    assert np.corrcoef(drawn.T)[0, 1] > 0.99
    other = [quantities[0], measured(luck[::-1], 0.02, seed=3)]
    drawn = redrawn(other, estimates(other), 2000, np.random.default_rng(0))
    assert np.corrcoef(drawn.T)[0, 1] < 0.9


def test_draws_of_one_seed_are_of_its_items():
    quantity = measured([0.4], 0.05, seed=4)
    printed = estimates([quantity])
    drawn = redrawn([quantity], printed, 20_000, np.random.default_rng(0))
    assert drawn.std() == pytest.approx(printed[0].error, rel=0.03)


def test_a_dominated_method_is_named_and_shown_only_where_every_interval_says_so():
    good, bad = measured([0.2, 0.22, 0.21], 0.01, 0.1, 1), measured([0.6, 0.62, 0.6], 0.01, 0.1, 2)
    near = measured([0.21, 0.22, 0.22], 0.01, 0.1, 3)
    found = dominated([[good, good], [bad, bad]])
    assert found == [(1, 0, True)]
    assert dominated([[good, good], [bad, near]]) == [(1, 0, False)], "one interval includes 0"
    assert dominated([[good, bad], [bad, good]]) == [], "each is better somewhere"
    assert dominated([[good], [good]]) == [], "equal is not dominated"


def test_what_all_methods_share_does_not_hide_that_one_is_dominated():
    luck = [0.0, 0.5, -0.4, 0.3]
    better, worse = ([plain(range(4), [base + x for x in luck])] for base in (0.3, 0.4))
    rest = [linear([(1.0, better[0]), (1.0, plain(range(4), [0.01, -0.01, 0.02, 0.0]))])]
    assert (1, 0, True) in dominated([better, worse, rest])
