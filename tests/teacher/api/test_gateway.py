from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from configs.errors import ConfigError
from defenses.admission.limits.query_quota import QueryQuota
from defenses.admission.limits.token_bucket import TokenBucket
from defenses.base import Defense
from lm.types import Channel
from teacher.api.hooks import NOBODY
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Params
from tests.teacher.api.fakes import FULL, TEXT, FakeBackend, gateway, prompts, requests


@dataclass(frozen=True)
class Noise(Defense):
    source: ClassVar[str] = "test"

    def release(self, responses, context):
        return replace(responses, logprob=responses.logprob + context.rng.normal(size=len(responses.channel)))


@dataclass(frozen=True)
class OnTop(Defense):
    source: ClassVar[str] = "test"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)


def answered(api, batch, params):
    assert api.admit(batch, prompts(), params).ok.all()
    return api.complete(batch, prompts(), params)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("k", [0, 5])
def test_empty_stack_and_full_interface_change_nothing(n, k):
    batch, params = requests(range(7)), Params(n=n, top_logprobs=k)
    got = answered(gateway(), batch, params)
    raw = FakeBackend().complete(prompts(), batch, params, NOBODY)
    assert (got.request == np.repeat(np.arange(7), n)).all()
    assert (got.tokens.values == raw.tokens.values).all()
    assert (got.tokens.offsets == raw.tokens.offsets).all()
    assert (got.channel == raw.channel).all()
    assert (got.finished == raw.finished).all()
    assert not got.cut.any()
    if k:
        assert (got.logprob == raw.logprob).all()
        assert (got.top_ids == raw.top_ids).all()
        assert (got.top_logprobs == raw.top_logprobs).all()
    else:
        assert got.logprob is got.top_ids is got.top_logprobs is None


@pytest.mark.parametrize("trace", ["none", "summary"])
def test_interface_hides_trace_and_bills_it(trace):
    batch = requests(range(5))
    shown = answered(gateway(interface=Interface(trace=trace)), batch, Params())
    whole = answered(gateway(), batch, Params())
    working = shown.tokens.values[shown.channel == Channel.TRACE]
    assert (working % 2 == 0).all()
    assert (len(working) == 0) == (trace == "none")
    for channel in (Channel.TOOL, Channel.ANSWER):
        assert (shown.tokens.values[shown.channel == channel] == whole.tokens.values[whole.channel == channel]).all()
    assert shown.cut.any()
    assert (shown.output_tokens == whole.output_tokens).all()


def test_ledger_reserves_then_settles():
    api, batch, params = gateway(interface=TEXT), requests(range(3)), Params(max_tokens=64)
    api.admit(batch, prompts(), params)
    reserved = api.ledger.frame()
    assert reserved["output_tokens"].to_list() == [64] * 3
    assert not reserved["completed"].any()
    got = api.complete(batch, prompts(), params)
    settled = api.ledger.frame()
    assert settled["output_tokens"].to_list() == got.output_tokens.tolist()
    expected = (3 * (5 + 1) + 15 * got.output_tokens) / 1e6  # five prompt tokens and one tool result each
    assert np.allclose(settled["dollars"], expected)
    assert np.isclose(api.accounts.spend[0], expected.sum())
    assert settled["completed"].all()
    assert api.clock.now == 2.0


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("prefill", ["", "so it is"])
def test_tokens_times_price_are_the_dollars(n, prefill):
    api, batch, params = gateway(accounts=2), requests(range(9), account=[0, 1] * 4 + [0]), Params(n=n, prefill=prefill)
    got = answered(api, batch, params)
    ledger = api.ledger.frame()
    inputs, outputs, dollars = (ledger[name].to_numpy() for name in ("input_tokens", "output_tokens", "dollars"))
    assert (inputs == 5 + len(prefill.split()) + n).all(), (
        "five prompt tokens, the prefill once, a tool result a response"
    )
    assert (outputs == got.output_tokens.reshape(-1, n).sum(1)).all()
    assert (dollars == Prices().dollars(inputs, outputs)).all(), "to the last bit"
    assert np.isclose(dollars.sum(), (3 * inputs.sum() + 15 * outputs.sum()) / 1e6, rtol=1e-12)
    assert np.allclose(api.accounts.spend, [dollars[batch.account == account].sum() for account in (0, 1)], rtol=1e-12)
    bills = api.ledger.bills(batch.take(np.arange(9)[::-1]))
    assert (bills.input_tokens == inputs[::-1]).all()
    assert (bills.output_tokens == outputs[::-1]).all()
    assert (bills.dollars == dollars[::-1]).all()


def test_bills_of_what_was_refused_or_not_answered_are_zero():
    api, batch = gateway({"query_quota": QueryQuota(queries=2)}), requests(range(3))
    api.admit(batch, prompts(), Params())
    assert [column.tolist() for column in api.ledger.bills(batch)] == [[0] * 3] * 3
    api.complete(batch.take(np.array([1])), prompts(), Params())
    assert (api.ledger.bills(batch).dollars > 0).tolist() == [False, True, False]


def test_a_prefill_is_rate_limited_and_reserved_as_input():
    bucket = TokenBucket(requests_per_minute=1e9, input_tokens_per_minute=20, burst_minutes=1)
    api = gateway({"token_bucket": bucket})
    plain = api.admit(requests([0, 0, 0, 0, 0]), prompts(), Params())
    assert plain.ok.tolist() == [True] * 4 + [False], "four prompts of five tokens"
    later = requests([3600, 3600, 3600])
    assert api.admit(later, prompts(), Params(prefill="and so it was ever")).ok.tolist() == [True, True, False]
    assert api.ledger.column("input_tokens")[-3:].tolist() == [10, 10, 10]
    reserved = Prices().dollars(np.array([10]), 64)
    assert (api.ledger.column("dollars")[-3:-1] == reserved).all()
    assert api.ledger.tokens_between(3600, 3601, 1).tolist() == [2 * (10 + 64)]


@pytest.mark.parametrize("bias", [{100: 1.0}, {-1: 1.0}, {3: 1.0, 10**9: 2.0}, {3: float("nan")}, {3: float("inf")}])
def test_a_logit_bias_that_cannot_be_is_a_400(bias):
    api = gateway({"query_quota": QueryQuota(queries=1)})
    verdicts = api.admit(requests(range(2)), prompts(), Params(logit_bias=bias))
    assert verdicts.status.tolist() == [400, 400]
    assert verdicts.reason[0].startswith("logit_bias: ")
    assert api.admit(requests([3]), prompts(), Params(logit_bias={0: 1.0, 99: -100.0})).ok.all()


def test_only_admitted_requests_are_answered_and_only_once():
    api, batch = gateway({"query_quota": QueryQuota(queries=2)}), requests(range(3))
    verdicts = api.admit(batch, prompts(), Params())
    assert verdicts.status.tolist() == [200, 200, 429]
    assert api.ledger.frame()["refused_by"].to_list() == ["", "", "query_quota"]
    assert api.ledger.frame()["dollars"][2] == 0
    with pytest.raises(ValueError, match="never admitted"):
        api.complete(batch, prompts(), Params())
    api.complete(batch.take(np.array([1, 0])), prompts(), Params())
    with pytest.raises(ValueError, match="already"):
        api.complete(batch.take(np.array([0])), prompts(), Params())


def test_unknown_and_banned_accounts():
    api = gateway(accounts=3)
    api.accounts.ban(np.array([1]))
    verdicts = api.admit(requests(range(5), account=[0, 1, 2, 3, -1]), prompts(), Params())
    assert verdicts.status.tolist() == [200, 403, 200, 401, 401]
    assert np.isnan(verdicts.retry_after).all()


@pytest.mark.parametrize(
    ("params", "name"),
    [
        (Params(top_logprobs=1), "top_logprobs"),
        (Params(top_logprobs=-1), "top_logprobs"),
        (Params(n=2), "n"),
        (Params(logit_bias={3: 1.0}), "logit_bias"),
        (Params(prefill="so"), "prefill"),
        (Params(seeded=True), "seed"),
        (Params(temperature=2.1), "temperature"),
        (Params(max_tokens=0), "max_tokens"),
    ],
)
def test_what_is_not_sold_is_a_400(params, name):
    api = gateway({"query_quota": QueryQuota(queries=1)}, interface=TEXT)
    verdicts = api.admit(requests(range(2)), prompts(), params)
    assert verdicts.status.tolist() == [400, 400]
    assert verdicts.reason[0].startswith(f"{name}: ")
    assert api.admit(requests([3]), prompts(), Params()).ok.all(), "a 400 uses up no allowance"


def test_release_draws_depend_on_requests_and_name_only():
    batch, params = requests(range(4)), Params(top_logprobs=1)
    alone = answered(gateway({"noise": Noise()}), batch, params)
    again = answered(gateway({"noise": Noise()}), batch, params)
    stacked = answered(gateway({"quota": QueryQuota(), "noise": Noise()}), batch, params)
    assert (alone.logprob == again.logprob).all()
    assert (alone.logprob == stacked.logprob).all()
    other_seed = answered(gateway({"noise": Noise()}, seed=1), batch, params)
    later = answered(gateway({"noise": Noise()}), replace(batch, time=batch.time + 9), params)
    for other in (other_seed, later):
        assert (alone.logprob != other.logprob).all()


def test_a_defense_without_anything_to_act_on_is_refused():
    with pytest.raises(ConfigError, match=r"defense\.on_top.*top_logprobs"):
        gateway({"on_top": OnTop()}, interface=TEXT)
    gateway({"on_top": OnTop()}, interface=FULL)


def test_empty_batch():
    api = gateway()
    got = answered(api, requests([]), Params(top_logprobs=3))
    assert len(got) == 0
    assert got.top_ids.shape == (0, 3)
    assert api.backend.calls == 0
