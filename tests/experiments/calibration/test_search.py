"""The search alone, on functions that cost nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defenses.strength import Strength
from experiments.calibration.search import LEAST_TOLERANCE, MOST, Probe, Search

RISING, FALLING, BY_RATIO = Strength("tau", 1, 3), Strength("keep", 1, 0.01), Strength("rate", 1000, 0.02, log=True)
WHOLE = Strength("queries", 10_000, 1, log=True)


def walked(search: Search, drop: Callable[[float], float], error: float = 0.0) -> list[Probe]:
    """All evaluations of a search, of a function of the position in the range."""
    path: list[Probe] = []
    while (value := search.next(path)) is not None:
        path.append(Probe(value, drop(search.strength.position(value)), error))
    return path


@settings(deadline=None, max_examples=150)
@given(
    strength=st.sampled_from([RISING, FALLING, BY_RATIO]),
    power=st.floats(0.7, 3.5),
    top=st.floats(0.15, 1.0),
    target=st.sampled_from([0.02, 0.05, 0.1]),
)
def test_a_monotone_function_is_met_within_the_tolerance(strength, power, top, target):
    search = Search(strength, False, target)
    path = walked(search, lambda u: top * u**power)
    found = search.nearest(path)
    step = 10.0 ** (math.floor(math.log10(found.strength)) - 2)  # strengths have three digits: no step is finer
    inside = [v for v in (found.strength - step, found.strength + step) if 0 <= strength.position(v) <= 1]
    resolution = max(abs(top * strength.position(v) ** power - found.cost) for v in inside)
    assert abs(found.cost - target) <= max(LEAST_TOLERANCE, resolution)
    assert len(path) <= MOST
    assert float(f"{found.strength:.3g}") == found.strength


@pytest.mark.parametrize("strength", [RISING, FALLING, BY_RATIO], ids=lambda s: s.field)
def test_a_smooth_cliff_takes_few_evaluations(strength):
    search = Search(strength, False, 0.05)
    path = walked(search, lambda u: 0.9 / (1 + math.exp(-(u - 0.4) / 0.08)))
    assert search.nearest(path).cost == pytest.approx(0.05, abs=LEAST_TOLERANCE)
    assert len(path) <= 9


def test_whole_strengths_stay_whole_and_the_nearest_is_taken():
    search = Search(Strength("k", 20, 1), True, 0.05)
    cost = {n: 0.004 * (20 - n) ** 1.4 for n in range(1, 21)}
    path = walked(search, lambda u: cost[round(20 - 19 * u)])
    assert all(isinstance(p.strength, int) for p in path)
    assert search.nearest(path).strength == min(cost, key=lambda n: abs(cost[n] - 0.05))
    few = walked(Search(WHOLE, True, 0.05), lambda u: u**2)
    assert all(isinstance(p.strength, int) and 1 <= p.strength < 10_000 for p in few)


def test_the_strongest_is_tried_first_and_alone_where_it_costs_too_little():
    search = Search(FALLING, False, 0.05)
    path = walked(search, lambda u: 0.003 * u, error=0.004)
    assert [p.strength for p in path] == [0.01]
    assert not search.reached(path)


def test_the_harmless_end_is_never_tried():
    for strength, whole in ((RISING, False), (FALLING, False), (WHOLE, True)):
        path = walked(Search(strength, whole, 0.05), lambda u: 0.3 + 0.5 * u)
        assert strength.harmless not in [p.strength for p in path]
        assert len(path) <= MOST


def test_noise_widens_what_is_near_enough():
    exact = walked(Search(RISING, False, 0.05), lambda u: u**2)
    noisy = walked(Search(RISING, False, 0.05), lambda u: u**2, error=0.06)
    assert len(noisy) < len(exact)
    assert abs(noisy[-1].cost - 0.05) <= 0.03


def test_a_wiggly_function_ends_near_the_target():
    rng = np.random.default_rng(0)
    for _ in range(30):
        phase, size = rng.uniform(0, 6), rng.uniform(0, 0.01)
        search = Search(RISING, False, 0.05)
        path = walked(search, lambda u, p=phase, s=size: 0.6 * u + s * math.sin(40 * u + p), error=0.006)
        assert abs(search.nearest(path).cost - 0.05) <= 0.01
        assert len(path) <= MOST


def test_what_comes_next_follows_from_the_path_alone():
    search = Search(RISING, False, 0.05)
    path = walked(search, lambda u: u**2)
    for length in range(len(path)):
        assert search.next(path[:length]) == path[length].strength


@pytest.mark.parametrize("strength", [RISING, FALLING, BY_RATIO, WHOLE], ids=lambda s: s.field)
def test_positions_and_values_are_inverse(strength):
    assert strength.position(strength.harmless) == pytest.approx(0)
    assert strength.position(strength.strongest) == pytest.approx(1)
    for u in (0.0, 0.2, 0.7, 1.0):
        assert strength.position(strength.at(u)) == pytest.approx(u)
