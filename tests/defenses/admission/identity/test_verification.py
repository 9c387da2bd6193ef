import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.identity.verification import CheckOutcome, Verification
from teacher.api.clock import DAY
from teacher.api.schema import FORBIDDEN
from tests.defenses.admission.states import judged, state
from tests.teacher.api.fakes import requests

STRICT = {"abandonment": 0.0, "false_reject": 0.0, "forged_pass": 0.0}
EVENTS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=50)


def test_rates_are_the_fields():
    count = 40_000
    at = state(count)
    at.accounts.genuine[:] = np.arange(count) % 2 == 0
    defense = Verification(abandonment=0.2, false_reject=0.1, forged_pass=0.3)
    outcome = defense.challenge(at.accounts, np.arange(count), 5.0, seed=3)
    honest, forged = outcome[::2], outcome[1::2]
    assert np.mean(honest == CheckOutcome.ABANDONED) == pytest.approx(0.2, abs=0.01)
    assert np.mean(honest == CheckOutcome.REJECTED) == pytest.approx(0.8 * 0.1, abs=0.01)
    assert np.mean(forged == CheckOutcome.PASSED) == pytest.approx(0.3, abs=0.015)
    assert not (forged == CheckOutcome.ABANDONED).any()
    passed = outcome == CheckOutcome.PASSED
    assert (at.accounts.verified_until[passed] == 5.0 + 90 * DAY).all()
    assert np.isneginf(at.accounts.verified_until[~passed]).all()


def test_draws_depend_on_seed_account_and_attempt_alone():
    defense = Verification(abandonment=0.5)
    one, other = state(300).accounts, state(300).accounts
    ids = np.arange(300)
    together = defense.challenge(one, ids, 0.0, 7)
    apart = np.concatenate([defense.challenge(other, ids[i : i + 7][::-1], 99.0, 7)[::-1] for i in range(0, 300, 7)])
    assert together.tolist() == apart.tolist()
    for changed in ({"seed": 8}, {"seed": 7, "attempt": 1}):
        assert (defense.challenge(other, ids, 0.0, **changed) != together).mean() > 0.2


def test_before_the_first_request_or_after_so_many():
    at = state(2)
    at.accounts.genuine[:] = [True, False]
    batch = requests(range(8), account=[0, 1] * 4)
    assert judged(Verification(**STRICT), batch, at).ok.tolist() == [True, False] * 4
    at = state(2)
    at.accounts.genuine[:] = [True, False]
    verdicts = judged(Verification(after_requests=2, **STRICT), batch, at)
    assert verdicts.ok.tolist() == [True, True, True, True, True, False, True, False]
    assert verdicts.status[5] == FORBIDDEN
    assert verdicts.reason[5] == "verification_required"
    assert np.isnan(verdicts.retry_after[5])
    assert at.accounts.verified_until.tolist() == [4.0 + 90 * DAY, -math.inf]


def test_after_so_much_spend():
    at = state(3)
    at.accounts.genuine[:] = False
    at.accounts.spend[:] = [4.9, 5.0, 6.0]
    defense = Verification(after_requests=math.inf, after_dollars=5.0, **STRICT)
    assert judged(defense, requests([0, 1, 2], account=[0, 1, 2]), at).ok.tolist() == [True, False, False]


def test_a_check_runs_out_and_a_failed_one_stays_failed():
    at = state(1)
    defense = Verification(days=1.0, **STRICT)
    batch = requests([0.0, DAY - 1, DAY, 1.5 * DAY, 2 * DAY, 9 * DAY])
    assert judged(defense, batch, at).ok.all()
    assert at.memory["attempts"].tolist() == [4], "at 0, 1, 2 and 9 days"
    at.accounts.genuine[:] = False
    assert judged(defense, requests([9.5 * DAY, 10 * DAY, 11 * DAY]), at).ok.tolist() == [True, False, False]
    at.accounts.genuine[:] = True
    assert not judged(defense, requests([99 * DAY]), at).ok.any()
    assert at.memory["attempts"].tolist() == [5]


def test_a_check_that_the_provider_asked_for_counts():
    at = state(2)
    defense = Verification(**STRICT)
    assert defense.challenge(at.accounts, np.array([1]), 10.0, 0).tolist() == [CheckOutcome.PASSED]
    judged(defense, requests([20.0, 21.0], account=[0, 1]), at)
    assert at.memory["attempts"].tolist() == [1, 0]


def one_by_one(defense, batch, at):
    """A request after the other, a dictionary an account."""
    served, out, attempts, ok = {}, set(), {}, []
    for time, who in zip(batch.time.tolist(), batch.account.tolist(), strict=True):
        due = served.get(who, 0) >= defense.after_requests or at.accounts.spend[who] >= defense.after_dollars
        if who not in out and due and time >= at.accounts.verified_until[who]:
            outcome = defense.challenge(at.accounts, np.array([who]), time, at.seed, attempts.get(who, 0))
            attempts[who] = attempts.get(who, 0) + 1
            if outcome[0] != CheckOutcome.PASSED:
                out.add(who)
        ok.append(who not in out)
        served[who] = served.get(who, 0) + ok[-1]
    return ok


@settings(max_examples=150, deadline=None)
@given(
    EVENTS,
    st.sampled_from([0, 1, 3, math.inf]),
    st.sampled_from([0.0, 4.0, math.inf]),
    st.integers(0, 9),
    st.booleans(),
)
def test_agrees_with_the_loop_over_events(events, after_requests, after_dollars, seed, grouped):
    events = sorted(events)
    if grouped:
        events.sort(key=lambda event: event[1])
    batch = requests([100.0 * e[0] for e in events], account=[e[1] for e in events])
    defense = Verification(after_requests=after_requests, after_dollars=after_dollars, days=0.1, abandonment=0.4)
    fast, cut, slow = (state(4) for _ in range(3))
    for at in (fast, cut, slow):
        at.seed, at.accounts.spend[:], at.accounts.genuine[:] = seed, [0, 3, 4, 5], [True, True, False, True]
    want = one_by_one(defense, batch, slow)
    assert judged(defense, batch, fast).ok.tolist() == want
    np.testing.assert_array_equal(fast.accounts.verified_until, slow.accounts.verified_until)
    rows = np.arange(len(batch))
    halves = [judged(defense, batch.take(part), cut).ok.tolist() for part in np.array_split(rows, 2)]
    assert halves[0] + halves[1] == want


def test_accounts_opened_later_are_checked_too():
    at = state(1)
    defense = Verification(**STRICT)
    judged(defense, requests([0.0]), at)
    at.accounts.open(1, genuine=False)
    assert judged(defense, requests([1.0, 2.0], account=[0, 1]), at).ok.tolist() == [True, False]


@pytest.mark.parametrize("fields", [{"days": 0}, {"abandonment": 1.1}, {"forged_pass": -0.1}, {"after_requests": -1}])
def test_bad_configuration(fields):
    with pytest.raises(ConfigError, match=f"verification.{next(iter(fields))}"):
        Verification(**fields)
