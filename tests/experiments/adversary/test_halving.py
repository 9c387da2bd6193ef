"""Who goes on in a search, and how many seeds a round has."""

from __future__ import annotations

import pytest

from experiments.adversary.halving import kept, rounds


@pytest.mark.parametrize(("seeds", "expected"), [(1, (1,)), (2, (1, 2)), (5, (1, 2, 4, 5)), (8, (1, 2, 4, 8))])
def test_rounds_double_and_end_with_all_seeds(seeds, expected):
    assert rounds(seeds) == expected


def test_the_better_half_goes_on_in_the_order_in_which_it_came():
    scores = {"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.7, "e": 0.2}
    assert kept(scores, dict.fromkeys(scores, "one")) == ["b", "c", "d"]


def test_the_best_of_each_league_goes_on_too():
    scores = {"passive": 0.1, "worse": 0.05, "b": 0.9, "c": 0.8}
    leagues = {"passive": False, "worse": False, "b": True, "c": True}
    assert kept(scores, leagues) == ["passive", "b", "c"]


def test_of_equal_ones_the_earlier_goes_on():
    assert kept(dict.fromkeys("abcd", 0.5), dict.fromkeys("abcd", 0)) == ["a", "b"]
