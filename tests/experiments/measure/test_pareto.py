"""Front, hypervolume and worst case."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.measure.pareto import NO_GAIN, front, hypervolume, worst_case
from experiments.measure.quantity import Quantity, blank, plain

points = st.lists(st.tuples(st.floats(-0.5, 1.5), st.floats(0, 1)), min_size=1, max_size=12)


def test_front_by_hand():
    assert front([0.9, 0.5, 0.6, 0.1, 0.5], [0.99, 0.9, 0.85, 0.5, 0.9]) == [3, 1, 0]
    assert front([np.nan, 0.3], [1.0, np.nan]) == []


def test_hypervolume_by_hand():
    assert hypervolume([0.5], [0.8]) == pytest.approx(0.4)
    assert hypervolume([0.5, 0.2], [0.8, 0.5]) == pytest.approx(0.4 + 0.3 * 0.5)
    assert hypervolume([-0.3], [1.0]) == 1.0
    assert hypervolume([1.2], [1.0]) == 0.0
    assert hypervolume([], []) == 0.0
    assert hypervolume([0.5], [0.8], reference=(0.9, 0.6)) == pytest.approx(0.4 * 0.2)


@given(points, st.floats(0, 1), st.floats(0, 1))
def test_another_point_never_costs_area_and_no_point_of_the_front_is_beaten(given_points, x, y):
    xs, ys = [list(part) for part in zip(*given_points, strict=True)]
    before = hypervolume(xs, ys)
    assert hypervolume([*xs, x], [*ys, y]) >= before - 1e-12
    assert 0 <= before <= 1
    chosen = front(xs, ys)
    assert not any(
        xs[j] <= xs[i] and ys[j] >= ys[i] and (xs[j], ys[j]) != (xs[i], ys[i]) for i in chosen for j in range(len(xs))
    )


@given(points)
def test_hypervolume_is_the_area_on_a_grid(given_points):
    xs, ys = (np.array(part) for part in zip(*given_points, strict=True))
    a, b = np.meshgrid((np.arange(60) + 0.5) / 60, (np.arange(60) + 0.5) / 60)
    covered = ((np.maximum(xs, 0)[:, None, None] <= a) & (ys[:, None, None] >= b)).any(axis=0).mean()
    assert hypervolume(xs, ys) == pytest.approx(covered, abs=0.05)


def test_worst_case_and_gap():
    def q(value: float) -> Quantity:
        return plain((0, 1), [value, value])

    worst = worst_case({"imitate": q(0.3), "adaptive": q(0.7), "broken": blank("x")}, {"imitate"})
    assert worst.attack == "adaptive"
    assert worst.gap.point == pytest.approx(0.4)
    assert worst_case({"imitate": q(0.3)}, {"imitate"}).gap.reason == NO_GAIN
    assert worst_case({"adaptive": q(0.3)}, ()).gap.reason == "no passive attack"
    assert worst_case({"broken": blank("x")}, ()).attack == ""
