"""Letter displays say exactly what was told apart."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.measure.letters import letters, place_of, single


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[list[int], set[tuple[int, int]]]:
    """Members in any order, and any of their pairs, either way round."""
    order = draw(st.permutations(range(draw(st.integers(1, 9)))))
    pairs = list(combinations(range(len(order)), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return list(order), {pair[:: draw(st.sampled_from((1, -1)))] for pair in chosen}


@settings(max_examples=200, deadline=None)
@given(comparisons())
def test_two_share_a_letter_if_and_only_if_they_are_not_told_apart(given_):
    order, apart = given_
    found = letters(order, apart)
    assert set(found) == set(order)
    assert all(found.values()), "everyone has a letter"
    for one, other in combinations(order, 2):
        told = (one, other) in apart or (other, one) in apart
        assert bool(set(single(found[one])) & set(single(found[other]))) != told


@settings(max_examples=100, deadline=None)
@given(comparisons())
def test_no_letter_can_be_left_out(given_):
    order, apart = given_
    found = letters(order, apart)
    groups = [{m for m in order if letter in found[m]} for letter in set("".join(found.values()))]
    assert not any(a < b or (a == b and i != j) for i, a in enumerate(groups) for j, b in enumerate(groups))
    assert "a" in found[order[0]]


def test_known_displays():
    assert letters("xyz", []) == {"x": "a", "y": "a", "z": "a"}
    assert letters("xyz", [("x", "z")]) == {"x": "a", "y": "ab", "z": "b"}
    assert letters("xyz", [("x", "y"), ("z", "x"), ("y", "z")]) == {"x": "a", "y": "b", "z": "c"}
    assert letters((), []) == {}


def test_beyond_the_alphabet_letters_have_numbers():
    order = range(110)
    found = letters(order, [pair for pair in combinations(order, 2) if pair != (50, 51) and pair != (60, 61)])
    own = [single(found[i]) for i in order]
    assert own[:2] == [["a"], ["b"]]
    assert own[50] == own[51] == ["Y"]
    assert own[60] == own[61]
    assert own[-1] == ["d2"]
    every = sorted({letter for one in own for letter in one}, key=place_of)
    assert [place_of(letter) for letter in every] == list(range(108))
    assert every[51:54] == ["Z", "a1", "b1"]
    assert single("aZa1b12") == ["a", "Z", "a1", "b12"]


def test_a_display_of_too_many_letters_says_nothing():
    pairs = [(i, i + 1) for i in range(0, 16, 2)]  # one of each pair: two to the power of eight groups
    assert letters(range(16), pairs) == {}
