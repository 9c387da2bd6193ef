"""Students at matched drop: interpolation, free strengths, marks, range, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.measure.estimate import estimates
from experiments.measure.matched import CHORD, INTERPOLATED, at_drop, common_drop, curve
from experiments.measure.quantity import Quantity, blank, difference, plain

SEEDS = (0, 1, 2)


def exact(value: float) -> Quantity:
    return plain(SEEDS, [value] * 3)


def noisy(value: float, sd: float, seed: int) -> Quantity:
    away = np.random.default_rng(seed).normal(0, sd, 3)
    return plain(SEEDS, (value + away - away.mean()).tolist())


def read(points: list[tuple[float, float]], target: float, undefended: float = 0.9):
    return at_drop(curve(exact(undefended), [(exact(x), exact(y)) for x, y in points]), target)


def test_linear_between_strengths():
    points = [(0.04, 0.5), (0.1, 0.2)]
    assert read(points, 0.02).value.point == pytest.approx(0.7)
    assert read(points, 0.04).value.point == pytest.approx(0.5)
    assert read(points, 0.07).value.point == pytest.approx(0.35)
    assert read(points, 0.1).value.point == pytest.approx(0.2)
    assert read(points, 0.0).value.point == pytest.approx(0.9)
    assert read(points[::-1], 0.07).value.point == pytest.approx(0.35)


def test_how_a_value_came_about_is_marked():
    points = [(0.04, 0.5), (0.1, 0.2)]
    assert read(points, 0.02).value.mark == CHORD
    assert read(points, 0.07).value.mark == INTERPOLATED
    assert read(points, 0.04).value.mark == ""
    assert read([(0.12, 0.2)], 0.05).value.mark == CHORD
    # A free strength is measured, the undefended API is not a strength.
    assert read([(0.0, 0.3), (0.12, 0.2)], 0.05).value.mark == INTERPOLATED
    assert estimates([read([(0.12, 0.2)], 0.05).value])[0].mark == CHORD


@pytest.mark.parametrize("epsilon", [0.0, -0.001, 0.001])
def test_of_strengths_that_cost_nothing_the_best_counts(epsilon):
    assert read([(epsilon, 0.1), (0.05, 0.05)], 0.01).value.point == pytest.approx(0.09, abs=0.002)


def test_the_best_of_several_free_strengths_and_of_equal_drops_counts():
    assert read([(0.0, 0.3), (-0.002, 0.1), (-0.01, 0.5), (0.05, 0.05)], 0.0).value.point == pytest.approx(0.1)
    assert read([(0.05, 0.5), (0.05, 0.3)], 0.05).value.point == pytest.approx(0.3)
    # One that makes the student better is not taken where the API may as well be left alone.
    assert read([(0.0, 0.95), (0.05, 0.5)], 0.0).value.point == pytest.approx(0.9)


@given(st.floats(-0.002, 0.002), st.floats(0.05, 0.85))
def test_nothing_jumps_where_a_strength_becomes_free(epsilon, student):
    points = [(epsilon, student), (0.05, 0.04)]
    shifted = [(epsilon + 1e-7, student), (0.05, 0.04)]
    assert read(points, 0.01).value.point == pytest.approx(read(shifted, 0.01).value.point, abs=1e-4)


def test_noise_against_the_order_is_pooled_but_never_with_what_is_free():
    assert read([(0.02, 0.6), (0.05, 0.7)], 0.03).value.point == pytest.approx(0.65)
    assert read([(0.02, 0.95), (0.05, 0.5)], 0.02).value.point == pytest.approx(0.9)


@given(st.lists(st.tuples(st.floats(-0.02, 0.2), st.floats(0, 1)), min_size=1, max_size=6))
def test_more_drop_never_helps_the_student(points):
    line = curve(exact(0.8), [(exact(x), exact(y)) for x, y in points])
    assert line is not None
    levels = [p.accuracy for p in line.points]
    assert (np.diff(levels) <= 1e-12).all()
    assert levels[0] <= 0.8 + 1e-12


def test_nothing_is_extrapolated():
    found = estimates([read([(0.04, 0.5)], 0.05).value])[0]
    assert found.value is None
    assert "4.0 points" in found.reason
    assert at_drop(None, 0.05).value.reason == "no strength measured"
    assert curve(blank("x"), [(exact(0.1), exact(0.5))]) is None
    assert curve(exact(0.9), [(blank("x"), exact(0.5))]) is None
    assert curve(exact(0.9), []) is None


@pytest.mark.parametrize("points", [2, 3, 5])
def test_slack_bounds_what_a_chord_hides_of_a_convex_defense(points):
    def student(drop):
        return 0.1 + 0.8 * np.exp(-drop / 0.02)

    drops = np.linspace(0.01, 0.1, points)
    for target in (0.005, 0.015, 0.03, 0.05, 0.09):
        found = read([(float(x), float(student(x))) for x in drops], target)
        over = found.value.point - student(target)
        assert -1e-9 <= over <= found.slack + 1e-9
    assert read([(float(x), float(student(x))) for x in drops], float(drops[0])).slack == 0


def test_the_error_moves_with_both_coordinates():
    """Far from corners it is the delta method: slope −6 in the drop."""
    still = [(exact(0.02), exact(0.6)), (exact(0.12), exact(0.0))]
    for moved, expected in (
        ([(exact(0.02), noisy(0.6, 0.01, 1)), still[1]], 0.5),
        ([(noisy(0.02, 1e-5, 1), exact(0.6)), still[1]], 6 * 0.5),
    ):
        line = curve(exact(0.9), moved)
        source = next(q for strength in moved for q in strength if np.ptp(q.values) > 0)
        got = at_drop(line, 0.07).value.values.std()
        assert got == pytest.approx(expected * source.values.std(), rel=1e-3)


def test_what_two_defenses_share_cancels_in_their_difference():
    undefended = noisy(0.9, 0.05, 3)
    a, b = (at_drop(curve(undefended, [(exact(0.1), exact(y))]), 0.02).value for y in (0.5, 0.3))
    assert difference(a, b).values.std() < 1e-12
    assert difference(a, b).point == pytest.approx(0.04)


def test_common_drop():
    def line(*points):
        found = curve(exact(0.9), [(exact(x), exact(y)) for x, y in points])
        assert found is not None
        return found

    a, b = line((0.0734, 0.5)), line((0.0456, 0.5))
    assert common_drop([a, b]) == pytest.approx(0.045)
    assert common_drop([a, line((0.0, 0.5))]) is None
    assert common_drop([]) is None
