import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.limits.query_quota import QueryQuota
from defenses.admission.limits.token_bucket import TokenBucket
from teacher.api.client import NOT_SENT, Patience, exchange, make_requests, send
from teacher.api.errors import ApiError
from teacher.api.hooks import NOBODY
from teacher.api.schema import Params
from tests.teacher.api.fakes import TEXT, FakeBackend, gateway, prompts, requests

ONE_A_MINUTE = {"bucket": TokenBucket(requests_per_minute=1, burst_minutes=1)}


def test_without_limits_everything_goes_out_as_planned():
    api, planned = gateway(), requests([5.0, 1.0, 3.0])
    outcome = send(api, planned, prompts(), Params(), Patience(), closed_loop=True)
    assert outcome.requests.time.tolist() == [5, 1, 3]
    assert outcome.attempts.tolist() == [1, 1, 1]
    assert api.ledger.frame()["time"].to_list() == [1, 3, 5]


def test_closed_loop_holds_up_later_requests():
    outcome = send(gateway(ONE_A_MINUTE), requests([0, 1, 2]), prompts(), Params(), Patience(), closed_loop=True)
    assert outcome.requests.time.tolist() == [0, 60, 120]
    assert outcome.waited.tolist() == [0, 59, 118]
    assert outcome.attempts.tolist() == [1, 2, 2]


def test_accounts_do_not_hold_up_each_other():
    batch = requests([0, 1, 2, 3], account=[0, 0, 1, 1])
    outcome = send(gateway(ONE_A_MINUTE, accounts=2), batch, prompts(), Params(), Patience(), closed_loop=True)
    assert outcome.requests.time.tolist() == [0, 60, 2, 62]


def test_open_loop_retries_on_its_own_with_backoff():
    outcome = send(gateway(ONE_A_MINUTE), requests([0, 1, 2]), prompts(), Params(), Patience())
    # both come back at 60; the second is told to wait 60 s more and doubles that
    assert outcome.requests.time.tolist() == [0, 60, 180]
    assert outcome.attempts.tolist() == [1, 2, 3]


def test_patience_ends():
    for patience in (Patience(retries=0), Patience(max_wait=58)):
        outcome = send(gateway(ONE_A_MINUTE), requests([0, 1]), prompts(), Params(), patience, closed_loop=True)
        assert outcome.verdicts.status.tolist() == [200, 429]
        assert outcome.attempts.tolist() == [1, 1]
        assert outcome.waited.tolist() == [0, 0]


def test_a_429_without_retry_after_is_final():
    api = gateway({"quota": QueryQuota(queries=2)})
    outcome = send(api, requests(range(5)), prompts(), Params(), Patience(), closed_loop=True)
    assert outcome.verdicts.status.tolist() == [200, 200, 429, 429, 429]
    assert outcome.attempts.tolist() == [1] * 5


def test_nothing_is_sent_after_the_deadline():
    api = gateway(ONE_A_MINUTE)
    outcome = send(api, requests([0, 1, 2, 3]), prompts(), Params(), Patience(), deadline=100, closed_loop=True)
    assert outcome.verdicts.status.tolist() == [200, 200, 429, NOT_SENT]
    assert outcome.attempts.tolist() == [1, 2, 1, 0]
    assert outcome.waited[3] == 97
    assert api.ledger.column("time").max() <= 100


def test_a_400_is_raised_at_once():
    api = gateway(ONE_A_MINUTE, interface=TEXT)
    with pytest.raises(ApiError, match=r"400.*top_logprobs"):
        exchange(api, requests(range(9)), prompts(), Params(top_logprobs=2), Patience(), closed_loop=True)
    assert len(api.ledger) == 1


def test_answers_belong_to_their_requests():
    batch = requests([30, 10, 20], prompt=[4, 2, 9], seed=np.array([70, 80, 90]))
    outcome, responses = exchange(gateway(), batch, prompts(), Params(n=2), Patience())
    raw = FakeBackend().complete(prompts(), batch, Params(n=2), NOBODY)
    assert responses.request.tolist() == [0, 0, 1, 1, 2, 2]
    assert (responses.tokens.values == raw.tokens.values).all()
    assert outcome.admitted.tolist() == [1, 2, 0]


def test_make_requests_counts_input_tokens():
    made = make_requests(prompts(length=7), np.array([3, 1]), np.zeros(2), np.zeros(2, int), np.zeros(2, np.int64))
    assert made.input_tokens.tolist() == [7, 7]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 2)), min_size=1, max_size=25),
    st.sampled_from([0.5, 1.0, 3.0, 10.0]),
    st.booleans(),
)
def test_every_attempt_is_logged_in_order_and_counted(events, rate, closed_loop):
    api = gateway({"bucket": TokenBucket(requests_per_minute=rate, burst_minutes=2)}, accounts=3)
    batch = requests([t for t, _ in events], account=[a for _, a in events])
    outcome = send(api, batch, prompts(), Params(), Patience(), deadline=900, closed_loop=closed_loop)
    ledger = api.ledger.frame()
    assert outcome.attempts.sum() == len(ledger)
    assert (outcome.verdicts.status == 200).sum() == (ledger["status"] == 200).sum()
    assert ledger["time"].is_sorted()
    assert (outcome.waited >= 0).all()
    sent = outcome.attempts > 0
    assert (outcome.requests.time[sent] <= 900).all()


def test_two_thousand_requests_against_a_tight_bucket_are_all_answered():
    api = gateway({"bucket": TokenBucket(requests_per_minute=0.5, burst_minutes=60)})
    batch = requests(30.0 * np.arange(2000), prompt=np.arange(2000) % 50)
    outcome = send(api, batch, prompts(), Params(), Patience(), closed_loop=True)
    assert outcome.verdicts.ok.all()
    assert len(api.ledger) > 3500


def test_bad_patience():
    with pytest.raises(ConfigError, match=r"patience\.backoff"):
        Patience(backoff=0.5)
