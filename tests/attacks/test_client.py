from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import configs
from attacks.budget import Budget, BudgetExceededError
from attacks.client import Client, Harvested
from configs.build import build
from configs.errors import ConfigError
from defenses.admission.limits.query_quota import QueryQuota
from defenses.admission.limits.token_bucket import TokenBucket
from defenses.base import Defense
from teacher.api.errors import ApiError
from tests.teacher.api.fakes import FULL, TEXT, gateway, prompts

CONFIGS = Path(configs.__file__).parent


def client(defenses=None, interface=TEXT, budget=None, seed=0, count=50, **options):
    return Client(gateway(defenses, interface, accounts=0), prompts(count), budget or Budget(), seed=seed, **options)


def texts(harvested):
    """Answer tokens by (item, how-manieth response to it)."""
    found = {}
    for item, row in zip(harvested.item.tolist(), harvested.responses.tokens, strict=True):
        found[item, sum(key[0] == item for key in found)] = row.tolist()
    return found


def test_answers_come_with_their_items_and_count_against_the_budget():
    attacker = client(budget=Budget(queries=5))
    got = attacker.ask(np.array([7, 3, 7]))
    assert got.item.tolist() == [7, 3, 7]
    assert got.responses.request.tolist() == [0, 1, 2]
    assert attacker.remaining == 2


def test_refused_queries_count_and_retries_do_not():
    quota = client({"quota": QueryQuota(queries=2)}, budget=Budget(queries=5))
    assert len(quota.ask(np.arange(4))) == 2
    assert quota.remaining == 1
    bucket = client({"bucket": TokenBucket(requests_per_minute=1, burst_minutes=1)}, budget=Budget(queries=5))
    assert len(bucket.ask(np.arange(4))) == 4
    assert bucket.outcomes[0].attempts.sum() > 4
    assert bucket.remaining == 1


@pytest.mark.parametrize(("budget", "what"), [(Budget(queries=3), "queries"), (Budget(data=3), "data")])
def test_over_the_budget_nothing_is_sent(budget, what):
    attacker = client(budget=budget)
    attacker.ask(np.array([1, 2]))
    with pytest.raises(BudgetExceededError, match=rf"budget\.{what} = 3: the attack asked for 4"):
        attacker.ask(np.array([3, 4]))
    assert attacker.remaining == budget.queries - 2
    assert len(attacker.outcomes) == 1
    attacker.ask(np.array([1]))


def test_the_same_noise_under_every_defense_and_in_every_order():
    one = client().ask(np.array([1, 2, 3, 2, 2]))
    two = client()
    parts = Harvested.concat([two.ask(np.array([2, 3])), two.ask(np.array([2, 1])), two.ask(np.array([2]))])
    assert texts(one) == texts(parts)
    assert texts(one)[2, 0] != texts(one)[2, 1]
    limited = client({"bucket": TokenBucket(requests_per_minute=1, burst_minutes=1)}).ask(np.array([1, 2, 3, 2, 2]))
    assert texts(one) == texts(limited)
    assert texts(one) != texts(client(seed=1).ask(np.array([1, 2, 3, 2, 2])))


def test_accounts_take_turns_at_the_budgets_pace():
    attacker = client(budget=Budget(accounts=3, rate=6.0), start=100.0)
    attacker.ask(np.arange(5))
    attacker.ask(np.arange(5, 9))
    sent = [outcome.requests for outcome in attacker.outcomes]
    assert sent[0].account.tolist() + sent[1].account.tolist() == [0, 1, 2] * 3
    assert sent[0].time.tolist() + sent[1].time.tolist() == [100] * 3 + [110] * 3 + [120] * 3


def test_the_campaign_ends():
    attacker = client(budget=Budget(hours=0.5, rate=1.0, queries=100))
    assert len(attacker.ask(np.arange(50))) == 31
    assert len(attacker.ask(np.arange(50))) == 0
    assert attacker.remaining == 0


def test_what_is_not_sold_is_an_error_and_costs_nothing():
    attacker = client()
    with pytest.raises(ApiError, match="seed"):
        attacker.ask(np.array([1]), seeds=np.array([5]), seeded=True)
    assert attacker.remaining == attacker.budget.queries


def test_all_sold_logprobs_are_asked_for():
    attacker = client(interface=FULL)
    assert attacker.interface is FULL
    assert attacker.ask(np.array([1])).responses.top_ids.shape[1] == FULL.top_logprobs
    assert attacker.ask(np.array([1]), top_logprobs=2).responses.top_ids.shape[1] == 2
    same = attacker.ask(np.array([1, 1]), seeds=np.array([9, 9]), seeded=True, n=2)
    assert len(same) == 4
    assert (same.responses.tokens[0] == same.responses.tokens[2]).all()


def test_concat_renumbers_requests_and_fills_in_missing_logprobs():
    attacker = client({"quota": QueryQuota(queries=3)}, interface=FULL)
    parts = [attacker.ask(np.array([5, 6]), n=2), attacker.ask(np.array([7, 8]), top_logprobs=0)]
    joined = Harvested.concat(parts)
    assert joined.responses.request.tolist() == [0, 0, 1, 1, 2]
    assert joined.item.tolist() == [5, 5, 6, 6, 7]
    assert joined.asked == 4
    last = joined.responses.tokens.row_of_value == 4
    assert np.isnan(joined.responses.logprob[last]).all()
    assert (joined.responses.top_ids[last] == -1).all()
    assert np.isneginf(joined.responses.top_logprobs[last]).all()
    assert (joined.responses.top_ids[~last] == parts[0].responses.top_ids).all()
    assert joined.take(np.array([4])).item.tolist() == [7]


@pytest.mark.parametrize("items", [[50], [-1]])
def test_items_outside_the_pool(items):
    with pytest.raises(ConfigError, match="pool of 50"):
        client().ask(np.array(items))


def test_seeds_need_seeded():
    with pytest.raises(ConfigError, match="seeded=True"):
        client(interface=FULL).ask(np.array([1]), seeds=np.array([1]))


def test_budget_checks():
    for fields in ({"queries": 0}, {"data": 0}, {"hours": 0}, {"accounts": 0}, {"rate": 0}, {"mix": {"chain": 0}}):
        with pytest.raises(ConfigError, match=f"budget.{next(iter(fields))}"):
            Budget(**fields)


@pytest.mark.parametrize(("name", "least", "most"), [("token_bucket", 0.3, 0.4), ("query_quota", 0.2, 0.25)])
def test_default_limits_bind_on_the_default_budget(name, least, most):
    defense = build(OmegaConf.load(CONFIGS / f"defense/{name}.yaml")[name], Defense, name)
    budget = build(OmegaConf.load(CONFIGS / "budget/default.yaml"), Budget, "budget")
    assert budget == Budget()
    attacker = client({name: defense}, budget=budget, count=2128)
    share = len(attacker.ask(np.arange(2128))) / 2128
    assert least < share < most
