"""Whole distributions of a real model behind the real gateway."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.base import HarvestContext
from attacks.budget import Budget
from attacks.client import Client
from attacks.harvest.biased import Raising, differences, groups_needed, normalised
from attacks.harvest.logit_bias_probe import LogitBiasProbe
from configs.errors import ConfigError
from defenses.release.top_k import TopK
from experiments.stages.offer import Offer, open_gateway
from experiments.store.store import Store
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Params, Prompts
from tests.attacks.harvest.test_on_policy import POOL, TEACHER, TEXTS
from tests.attacks.test_contract import Refuses

SOLD = Interface("sold", "full", 20, logit_bias=True, prompt_scoring=True)
V = TEACHER.vocabulary
G = groups_needed(V - 1, 19)


def run(tmp_path, *defenses, interface=SOLD, queries=4 * (1 + G) + 3, **fields):
    offer = Offer(interface, Prices(), {type(d).__name__: d for d in defenses})
    gateway = open_gateway(offer, TEACHER, "t", {}, {}, Store(tmp_path / "store"), 1)
    prompts = Prompts(TEXTS, TEACHER.encode_prompts(TEXTS))
    client = Client(gateway, prompts, Budget(queries=queries, data=60, hours=1e5), Params(max_tokens=5), 5)
    context = HarvestContext(lambda: None, lambda rows, seed=0: None, np.random.default_rng(2))
    return client, lambda: LogitBiasProbe(**fields).run(client, POOL, context)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_every_position_has_the_models_own_distribution(tmp_path, temperature):
    client, go = run(tmp_path, temperature=temperature)
    got = go()
    assert client.remaining == 0
    assert got.asked == client.budget.queries
    assert len(got) == 4 + 3
    rows = got.take(np.arange(4)).responses
    assert rows.top_ids.shape[1] == V
    true = TEACHER.score(client.prompts.tokens.take(got.item[:4]), rows.tokens, V)
    z = np.empty((len(rows.tokens.values), V))
    np.put_along_axis(z, true.top_ids, true.top_logprobs / temperature, 1)
    want = z - np.log(np.exp(z).sum(1, keepdims=True))
    told = np.take_along_axis(want, rows.top_ids, 1)
    np.testing.assert_allclose(rows.top_logprobs, told, atol=2e-4)
    assert (np.diff(rows.top_logprobs, axis=1) <= 0).all(), "most probable first"
    assert np.sort(rows.top_ids, 1).tolist() == [list(range(V))] * len(rows.top_ids)


def test_it_says_what_it_cost_and_the_rest_keeps_what_was_sold(tmp_path):
    client, go = run(tmp_path)
    got = go()
    assert got.findings["logits_rebuilt"] == 1
    assert got.findings["logits_queries"] == 4 * G
    ledger = client._gateway.ledger.frame()
    assert got.findings["logits_dollars"] == pytest.approx(ledger["dollars"][4 : 4 + 4 * G].sum())
    rest = got.take(np.arange(4, 7)).responses
    assert (rest.top_ids[:, 20:] == -1).all()
    assert (rest.top_ids[:, :20] >= 0).all()


def test_where_fewer_logprobs_come_back_what_was_sold_stays(tmp_path):
    _, go = run(tmp_path, TopK(3))
    got = go()
    assert got.findings["logits_rebuilt"] == 0
    assert (got.responses.top_ids[:, 3:] == -1).all()


def test_a_cut_answer_is_not_probed(tmp_path):
    client, go = run(tmp_path, interface=replace(SOLD, trace="none"))
    got = go()
    assert np.isnan(got.findings["logits_rebuilt"])
    assert got.findings["logits_queries"] == 0
    assert client.remaining == 0


def test_refusals_leave_queries_for_others(tmp_path):
    client, go = run(tmp_path, Refuses())
    got = go()
    assert client.remaining == 0
    assert got.asked == client.budget.queries
    assert (got.item % 3 != 0).all()
    assert len(np.unique(got.responses.request)) == len(got)


@pytest.mark.parametrize("lacks", [{"logit_bias": False}, {"prompt_scoring": False}, {"top_logprobs": 1}])
def test_what_is_not_sold_is_said_before_anything_is_spent(tmp_path, lacks):
    client, go = run(tmp_path, interface=replace(SOLD, **lacks))
    with pytest.raises(ConfigError, match=f"api.{next(iter(lacks))}"):
        go()
    assert client.remaining == client.budget.queries


def test_a_budget_below_one_row(tmp_path):
    client, go = run(tmp_path, queries=G)
    with pytest.raises(ConfigError, match=rf"budget\.queries = {G}"):
        go()
    assert client.remaining == G


@pytest.mark.parametrize("k", [2, 4, 12])
def test_differences_are_those_of_the_logits_under_any_bias(k):
    rng, vocabulary = np.random.default_rng(k), 12
    z = rng.normal(size=(6, vocabulary))
    raising = Raising.of(rng.permutation(vocabulary), groups_needed(vocabulary - 1, k - 1), k - 1, 30.0)
    found = []
    for group, bias in zip(raising.groups_GK, raising.biases, strict=True):
        raised = z + [bias.get(token, 0.0) for token in range(vocabulary)]
        logprobs = raised - np.log(np.exp(raised).sum(1, keepdims=True))
        ids = np.argsort(-logprobs, 1)[:, :k]
        found.append(
            differences(
                ids, np.take_along_axis(logprobs, ids, 1), np.broadcast_to(group, (6, k - 1)), raising.reference
            )
        )
    whole = np.concatenate(found, 1)[:, : vocabulary - 1]
    tokens = raising.groups_GK[raising.groups_GK >= 0]
    np.testing.assert_allclose(whole, z[:, tokens] - z[:, [raising.reference]], atol=1e-8)
    np.testing.assert_allclose(np.exp(normalised(whole)).sum(1), 1)
    np.testing.assert_allclose(
        normalised(whole), (z - np.log(np.exp(z).sum(1, keepdims=True)))[:, [*tokens, raising.reference]], atol=1e-8
    )


def test_what_is_not_listed_is_not_told():
    ids, logprobs = np.array([[3, 5], [3, 7]]), np.log([[0.5, 0.25], [0.5, 0.25]])
    got = differences(ids, logprobs, np.array([[3, -1], [3, -1]]), 5)
    np.testing.assert_allclose(got, [[np.log(2), np.nan], [np.nan, np.nan]])


def test_fields():
    with pytest.raises(ConfigError, match="bias"):
        LogitBiasProbe(bias=0.0)
