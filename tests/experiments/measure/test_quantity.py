"""Arithmetic seed by seed and group by group, against closed forms on the items themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.measure.quantity import (
    GROUPS,
    NOISE,
    PSEUDO,
    blank,
    difference,
    group_of,
    linear,
    mean_of,
    means,
    plain,
    quotient,
)

SEEDS = (3, 5)


def columns(values_n_C, bounded=True):
    """The same items in both seeds, each a group of its own."""
    values = np.asarray(values_n_C, np.float64)
    groups = np.arange(len(values))
    return means(SEEDS, [values, values], [groups, groups], [bounded] * values.shape[1])


def test_a_mean_has_the_variance_of_its_items():
    x = np.random.default_rng(0).random((40, 1))
    (found,) = columns(x, bounded=False)
    assert found.seeds == SEEDS
    assert found.point == pytest.approx(x.mean())
    assert found.noise == pytest.approx(x.var(ddof=1) / 40)


def test_groups_tell_the_variance_of_many_items():
    x = np.random.default_rng(1).random((4000, 1))
    groups = np.arange(4000) % GROUPS
    (found,) = means(SEEDS, [x, x[::-1]], [groups, groups], [False])
    assert found.noise == pytest.approx(x.var(ddof=1) / 4000, rel=0.4)


def test_right_in_all_items_is_not_certain():
    (found,) = columns(np.ones((40, 1)))
    assert found.point == 1
    assert found.noise == pytest.approx(PSEUDO / (2 * 40**2))
    assert columns(np.full((40, 1), 12.0), bounded=False)[0].noise == 0


def test_items_that_are_missing_are_left_out_and_seeds_without_any_too():
    x = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, np.nan]])
    other = np.array([[1.0, 1.0]])
    groups = [np.arange(3), np.arange(1)]
    first, second = means(SEEDS, [x, other], groups, [True, True])
    assert first.values.tolist() == [0.5, 1.0]
    assert second.seeds == (5,)
    assert not means(SEEDS, [x[:, 1:]] * 2, [np.arange(3)] * 2, [True])[0].known


def test_pairing_by_item_is_kept():
    """What two columns share cancels; what they do not adds up."""
    rng = np.random.default_rng(2)
    x = rng.random((40, 1))
    both = columns(np.concatenate([x, x + 0.1 * rng.random((40, 1))], axis=1), bounded=False)
    gap = difference(*both)
    assert gap.noise < 0.05 * both[0].noise
    a, b = columns(x, False)[0], columns(rng.random((40, 1)), False)[0]
    expected = (x[:, 0] - rng.random(0).sum()).var(ddof=1) / 40
    assert difference(a, blank("x")).reason == "x"
    assert expected > 0
    assert difference(a, b).noise > a.noise


@given(st.lists(st.floats(0.1, 1), min_size=3, max_size=3), st.lists(st.floats(0.5, 1), min_size=3, max_size=3))
def test_a_ratio_is_the_ratio_of_means_and_moves_with_both(above, below):
    a, b = plain((0, 1, 2), above), plain((0, 1, 2), below)
    found = quotient(a, b)
    ratio = a.point / b.point
    assert found.point == pytest.approx(ratio)
    assert found.values == pytest.approx(ratio + (a.values - ratio * b.values) / b.point)
    assert found.over == (b,)
    assert quotient(a, a).values == pytest.approx(np.ones(3))


def test_blank_has_its_reason_and_nothing_is_divided_by_0():
    zero, one = plain((0, 1), [0.5, -0.5]), plain((0, 1), [1.0, 1.0])
    assert quotient(one, zero).reason == NOISE
    assert quotient(blank("x"), one).reason == "x"
    assert not mean_of([]).known
    assert mean_of([one, blank("x")]).reason == "x"
    assert difference(one, plain((7,), [1.0])).reason == "no seed in common"
    assert plain((0, 1), [None, float("nan")]).known is False


def test_only_shared_seeds_count_in_a_difference():
    a, b = plain((0, 1, 2), [0.9, 0.8, 0.1]), plain((0, 1), [0.5, 0.5])
    assert difference(a, b).seeds == (0, 1)
    assert difference(a, b).point == pytest.approx(0.35)


def test_linear_combinations():
    a, b = plain((0, 1), [1.0, 3.0]), plain((0, 1), [2.0, 2.0])
    assert linear([(2.0, a), (1.0, b)]).values.tolist() == [4.0, 8.0]
    assert linear([(2.0, a), (1.0, b)], 1.0).values.tolist() == [-1.0, 3.0]
    assert mean_of([a, b]).point == 2.0


def test_an_item_has_the_same_group_everywhere():
    assert group_of("chain-17") == group_of("chain-17")
    counts = np.bincount([group_of(f"item-{i}") for i in range(5000)], minlength=GROUPS)
    assert counts.min() > 50
    assert counts.size == GROUPS
