"""Attackers and honest users in one gateway: the same as in two where every account is judged for itself, and not where a
defense looks across accounts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from attacks.budget import Budget
from attacks.client import Client
from defenses.admission.limits.query_quota import QueryQuota
from defenses.admission.limits.token_bucket import TokenBucket
from defenses.admission.linking.linker import Linker
from experiments.campaign.config.population import Population
from experiments.stages.prompts import draw
from experiments.stages.settings import Measure
from experiments.stages.users import Visit, drawn_users
from lm.ragged import Ragged
from tasks.mini import MiniTask
from teacher.api.client import Patience
from teacher.api.crowd import Crowd
from teacher.api.gateway import Gateway
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import OK, Params, Prompts
from tests.attacks.world import Format, Table, V
from tests.defenses.test_detectors import ADMITTING, prepared, small
from tests.teacher.api.fakes import gateway as with_tools

OWNED, ACCOUNTS, PARAMS = 60, 3, Params(max_tokens=16)
MEASURE = Measure(population=Population(accounts=80), patience=900.0)
ACROSS = ("behaviour", "fraudar", "linker", "louvain", "sybilrank")
BUSY = {"query_quota": QueryQuota(queries=40), "token_bucket": TokenBucket(requests_per_minute=0.2, burst_minutes=10)}
LOGGED = ("time", "input_tokens", "output_tokens", "status", "dollars", "completed")


@cache
def items():
    found = draw(MiniTask(), "provider", dict.fromkeys(MiniTask().families, 30), 1)
    return found[:OWNED], found[OWNED:]


@cache
def users():
    return drawn_users(items()[1], MEASURE, Prices(), 4)


def prompts(some):
    return Prompts([item.prompt for item in some], Ragged.of([[i % V] for i in range(len(some))]))


def gateway(defense, found=None):
    return Gateway(Table(), Interface(), {"it": defense}, Prices(), Format(), seed=3, prepared={"it": found or {}})


def attacked(api, asks):
    """An attacker who asks again, as often as he was answered, what he has asked before."""
    return Client(api, asks, Budget(queries=400, data=OWNED, hours=24, accounts=ACCOUNTS, rate=0.5), PARAMS, seed=2)


def ask(client):
    got = client.ask(np.arange(OWNED))
    for _ in range(4):
        got = client.ask(np.arange(min(len(got) + 5, OWNED)))
    return client.outcomes


def visited(api, asks, first):
    return Visit(api, users(), asks, first, PARAMS, MEASURE.patience)


def apart(defense, found=None):
    """(gateway, ids, what was said) of attacker and users, each alone."""
    own, honest = gateway(defense, found), gateway(defense, found)
    client = attacked(own, prompts(items()[0]))
    outcomes = ask(client)
    visit = visited(honest, prompts(items()[1]), 0)
    served = visit.finish()
    ids = np.arange(len(honest.accounts))
    return (own, client.accounts, outcomes), (honest, ids, visit.crowd.outcome(), served)


def together(defense, found=None, asks=None):
    api, asks = gateway(defense, found), asks or prompts([*items()[0], *items()[1]])
    client = attacked(api, asks)
    visit = visited(api, asks, OWNED)
    api.others = visit.crowd
    outcomes = ask(client)
    served = visit.finish()
    ids = ACCOUNTS + np.arange(len(users().people.senders))
    return (api, client.accounts, outcomes), (api, ids, visit.crowd.outcome(), served)


def logged(api, ids):
    """What the ledger holds of these accounts, those numbered from 0, in order of time within each."""
    frame = api.ledger.frame()
    account = frame["account"].to_numpy()
    rows = np.flatnonzero(np.isin(account, ids))
    rows = rows[np.argsort(account[rows], kind="stable")]
    return {"account": account[rows] - ids[0], **{n: frame[n].to_numpy()[rows] for n in (*LOGGED, "reason")}}


def assert_equal(first, second):
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def said(outcome):
    verdicts = outcome.verdicts
    return {
        "status": verdicts.status,
        "reason": verdicts.reason,
        "retry_after": verdicts.retry_after,
        "waited": outcome.waited,
        "attempts": outcome.attempts,
        "time": outcome.requests.time,
    }


def test_what_looks_across_accounts_says_so():
    assert {name for name in ADMITTING if small(name).across_accounts} == set(ACROSS)


@pytest.mark.parametrize("name", [n for n in ADMITTING if n not in ACROSS])
def test_who_is_judged_alone_gets_the_same_in_one_gateway_as_in_two(name):
    defense = BUSY.get(name, small(name))
    found = {} if name in BUSY else prepared(name)
    alone, with_others = apart(defense, found), together(defense, found)
    for (api, ids, *_), (shared, their, *_) in zip(alone, with_others, strict=True):
        assert_equal(logged(api, ids), logged(shared, their))
    for one, other in zip(alone[0][2], with_others[0][2], strict=True):
        assert_equal(said(one), said(other))
    assert_equal(said(alone[1][2]), said(with_others[1][2]))
    a, b = alone[1][3], with_others[1][3]
    assert a.load.equals(b.load)
    assert a.accounts.drop("dollars").equals(b.accounts.drop("dollars"))
    np.testing.assert_allclose(a.accounts["dollars"], b.accounts["dollars"])
    if name in BUSY:
        assert a.load["refused"][0] > 0, "or there is nothing to compare"
        assert any((one.attempts > 1).any() or not one.verdicts.ok.all() for one in alone[0][2])


def test_the_clock_is_one(monkeypatch):
    order = []
    judge = Gateway.judge
    monkeypatch.setattr(Gateway, "judge", lambda s, r, *a: order.extend(r.time.tolist()) or judge(s, r, *a))
    (api, ids, _), _ = together(QueryQuota(queries=10_000))
    assert order == sorted(order), "attackers' and users' requests in order of time"
    assert set(np.unique(api.ledger.column("account"))) > set(ids.tolist())


def test_a_linker_sees_both():
    """An attacker who asks what others ask is linked with them, and by himself with nobody."""
    defense = Linker(constraints=("template",), jaccard=0.01, shared=1, least=6, every_hours=0.5)
    (_, _, alone), _ = apart(defense)
    (_, _, met), _ = together(defense, asks=prompts([*items()[1][:OWNED], *items()[1]]))
    assert all((one.verdicts.status == OK).all() for one in alone)
    assert any((one.verdicts.reason == "suspected").any() for one in met)


def crowd(defense, patience):
    api = gateway(defense)
    drawn = users()
    ids = drawn.people.register(api.accounts)
    requests = replace(drawn.requests, account=ids[drawn.requests.account])
    return Crowd(api, requests, prompts(items()[1]), PARAMS, drawn.output_tokens, drawn.sampled, patience)


def test_where_the_clock_is_stopped_changes_nothing():
    whole, pieces = (crowd(BUSY["token_bucket"], Patience(900.0)) for _ in range(2))
    whole.advance()
    for until in np.sort(np.random.default_rng(0).uniform(0, 86_400, 300)):
        pieces.advance(float(until))
        assert pieces.due >= until
    pieces.advance()
    assert_equal(said(whole.outcome()), said(pieces.outcome()))
    assert whole.outcome().attempts.max() > 1


def test_people_lose_patience():
    patience = Patience(max_wait=300.0, retries=2)
    one = crowd(BUSY["token_bucket"], patience)
    one.advance()
    outcome = one.outcome()
    refused = outcome.verdicts.status != OK
    assert refused.any()
    assert outcome.waited.max() <= 300.0
    assert outcome.attempts.max() <= 3
    again = outcome.attempts == 2
    served = again & ~refused
    assert served.any()
    assert (outcome.waited[served] >= 1.0).all(), "nobody comes back before he is told to"


def test_users_weigh_as_they_send_and_each_item_is_asked_once():
    drawn = users()
    asked = drawn.requests.prompt[drawn.sampled]
    assert sorted(asked) == list(range(len(items()[1])))
    many = np.bincount(drawn.requests.account)
    sampled = np.bincount(drawn.requests.account[drawn.sampled], minlength=len(many))
    top = np.argsort(-many)[:8]
    assert many[top].sum() > 0.4 * many.sum(), "a heavy tail"
    assert abs(sampled[top].sum() / sampled.sum() - many[top].sum() / many.sum()) < 0.2
    assert drawn.people.hard.any()
    assert len(np.unique(drawn.requests.input_tokens)) > 100
    again = drawn_users(items()[1], MEASURE, Prices(), 4)
    np.testing.assert_array_equal(drawn.requests.time, again.requests.time)


def test_users_pay_for_tool_results_as_attackers_do():
    """The backend puts one tool result into every response; prompts are of one token."""
    asks = prompts(items()[1])
    served = visited(with_tools(accounts=0), asks, 0).finish()
    outputs = served.responses.output_tokens
    assert len(outputs) == len(served.sample) == len(asks.texts)
    assert (served.sample["input_tokens"] == 2).all()
    np.testing.assert_allclose(served.sample["dollars"], Prices().dollars(np.full(len(outputs), 2), outputs))
    api = with_tools(accounts=0)
    attacked(api, asks).ask(np.arange(9))
    assert (api.ledger.column("input_tokens") == 2).all()
