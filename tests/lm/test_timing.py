"""The stopwatch: inner categories do not count twice, and nothing is counted where nobody collects."""

from __future__ import annotations

import time

import pytest

from lm.timing import collecting, timed


@timed("inner")
def inner(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


def test_times_add_up_to_what_passed():
    start = time.perf_counter()
    with collecting() as spent, timed("outer"):
        assert inner(0.02) == "done"
        time.sleep(0.03)
        inner(0.02)
    passed = time.perf_counter() - start
    assert spent["inner"] >= 0.04
    assert spent["outer"] >= 0.03
    assert sum(spent.values()) == pytest.approx(passed, abs=0.01)


def test_a_raise_is_counted_and_the_outer_category_goes_on():
    with collecting() as spent, timed("outer"):
        with pytest.raises(ValueError), timed("inner"):
            raise ValueError
        time.sleep(0.02)
    assert spent["outer"] >= 0.02
    assert spent["inner"] < 0.02


def test_nothing_is_kept_where_nobody_collects():
    inner(0.0)
    with collecting() as spent:
        pass
    assert spent == {}


def test_a_collector_inside_another_has_its_own_time():
    with collecting() as outer, timed("outer"), collecting() as nested:
        inner(0.0)
    assert set(nested) == {"inner"}
    assert set(outer) == {"outer"}
