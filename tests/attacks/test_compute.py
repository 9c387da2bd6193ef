"""The meter of own compute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.compute import Compute, ComputeExceededError, ComputeMeter

ODD = st.sampled_from([0, 1, 2, 7])
NUMBER = st.integers(0, 9)


@given(allowed=st.tuples(ODD, ODD, ODD), steps=st.lists(st.tuples(NUMBER, NUMBER, NUMBER, st.floats(0, 1))))
def test_whatever_is_booked_reserved_and_settled_nothing_goes_over(allowed, steps):
    """Against a count of what was really drawn."""
    meter, spent = ComputeMeter(Compute(*allowed)), [0, 0, 0]
    for samples, tokens, optimizer, share in steps:
        before = (meter.samples, meter.tokens, meter.steps)
        try:
            if optimizer % 2:
                meter.book(samples, tokens, optimizer)
                spent = [a + b for a, b in zip(spent, (samples, tokens, optimizer), strict=True)]
            else:
                held = meter.reserve(samples, tokens)
                assert meter.tokens == before[1] + tokens, "what is set aside cannot be spent twice"
                drawn = round(share * tokens)
                held.settle(drawn)
                spent = [spent[0] + samples, spent[1] + drawn, spent[2]]
        except ComputeExceededError:
            assert (meter.samples, meter.tokens, meter.steps) == before, "what is refused counts nothing"
        assert [meter.samples, meter.tokens, meter.steps] == spent
        assert all(0 <= one <= most for one, most in zip(spent, allowed, strict=True))
        assert [meter.left(what) for what in ("samples", "tokens", "steps")] == [
            most - one for one, most in zip(spent, allowed, strict=True)
        ]


def test_what_is_refused_is_named():
    with pytest.raises(ComputeExceededError, match=r"budget\.compute\.tokens = 2: the attack asked for 3"):
        ComputeMeter(Compute(tokens=2)).reserve(1, 3)


@pytest.mark.parametrize("what", ["samples", "tokens", "steps"])
def test_nothing_is_given_back_by_booking(what):
    meter = ComputeMeter(Compute())
    meter.book(**{what: 4})
    with pytest.raises(AssertionError):
        meter.book(**{what: -1})
    assert getattr(meter, what) == 4


@pytest.mark.parametrize("drawn", [-1, 6])
def test_no_more_is_settled_than_was_reserved(drawn):
    meter = ComputeMeter(Compute())
    held = meter.reserve(1, 5)
    with pytest.raises(AssertionError):
        held.settle(drawn)
    assert meter.tokens == 5
    held.settle(3)
    with pytest.raises(AssertionError, match="settled already"):
        held.settle(3)
    assert meter.tokens == 3
