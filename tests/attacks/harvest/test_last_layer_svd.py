"""Hidden sizes of real models behind the real gateway, read off what the API sells."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.base import HarvestContext, Pool
from attacks.budget import Budget
from attacks.client import Client
from attacks.harvest.last_layer_svd import LastLayerSVD, distinct, hidden_size, planned
from configs.errors import ConfigError
from defenses.release.gaussian_noise import GaussianNoise
from defenses.release.rounding import Rounding
from defenses.release.top_k import TopK
from experiments.stages.offer import Offer, open_gateway
from experiments.store.store import Store
from student.mini import MiniStudent
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Params, Prompts
from teacher.mini import MiniTeacher
from tests.lm.mini.tiny import tiny

SOLD = Interface("sold", "full", 20, logit_bias=True)
WORDS = ["rev", "sort", "inc", "dbl", "tail", "gives", "what", "weather", "ba", "K"]
TEXTS = [f"{WORDS[i % 10]} {i // 10 % 10} {WORDS[i // 100]} {i * 7 % 10}" for i in range(300)]
POOL = Pool(TEXTS, np.array(["chain"] * len(TEXTS), object), {"chain": 1.0})


def api(tmp_path, width, *defenses, queries=700, interface=SOLD, layers=2):
    lm = tiny(5, width, layers)
    offer = Offer(interface, Prices(), {d.name: d for d in defenses})
    gateway = open_gateway(offer, lm, f"teacher {width}", {}, {}, Store(tmp_path / "store"), 1)
    prompts = Prompts(TEXTS, lm.encode_prompts(TEXTS))
    return lm, Client(gateway, prompts, Budget(queries=queries, data=len(TEXTS), hours=1e5), Params(max_tokens=4), 5)


def run(client, **fields):
    context = HarvestContext(lambda: None, lambda rows: None, np.random.default_rng(2))
    return LastLayerSVD(**fields).run(client, POOL, context)


@pytest.mark.parametrize("width", [8, 16, 24, 48, pytest.param(64, marks=pytest.mark.slow)])
def test_the_exact_width_is_found(tmp_path, width):
    got = run(api(tmp_path, width)[1])
    assert got.findings["hidden_size"] == width
    assert got.findings["hidden_size_gap"] > 2


@pytest.mark.parametrize("spec", [MiniTeacher(), MiniStudent()])
def test_so_is_that_of_the_models_that_cells_have(tmp_path, spec):
    """With what the default budget leaves for it; weights of the very size, such that outputs depend on all of them."""
    lm, client = api(tmp_path, spec.width, queries=int(0.75 * Budget().queries), layers=spec.layers)
    assert lm.model.config.hidden_size == spec.width
    assert run(client, share=1.0).findings["hidden_size"] == spec.width


def test_findings_say_what_the_probe_alone_took(tmp_path):
    client = api(tmp_path, 16)[1]
    found = run(client).findings
    plan = planned(525, 19, client.vocabulary, len(TEXTS))
    assert found["hidden_size_queries"] == plan.prompts * plan.groups < 700
    dollars = client._gateway.ledger.column("dollars")
    assert found["hidden_size_dollars"] == pytest.approx(dollars[: plan.prompts * plan.groups].sum())
    assert client.dollars == pytest.approx(dollars.sum())
    assert client.dollars > found["hidden_size_dollars"]


def test_rounding_blurs_it(tmp_path):
    fine = run(api(tmp_path, 16, Rounding(digits=4))[1]).findings
    coarse = run(api(tmp_path, 16, Rounding(digits=1))[1]).findings
    assert fine["hidden_size"] == 16
    assert fine["hidden_size_gap"] > coarse["hidden_size_gap"] + 0.5
    assert np.isnan(coarse["hidden_size"])


def test_five_logprobs_do_with_more_queries(tmp_path):
    got = run(api(tmp_path, 16, interface=replace(SOLD, top_logprobs=5))[1])
    assert got.findings["hidden_size"] == 16


def test_the_logits_are_those_of_the_model(tmp_path, monkeypatch):
    lm, client = api(tmp_path, 16)
    kept = {}
    monkeypatch.setattr(LastLayerSVD, "_found", lambda self, logits: kept.update(logits=logits) or {})
    got = run(client)
    from attacks.harvest import last_layer_svd as module

    plan = planned(int(0.75 * 700), 19, lm.vocabulary, len(TEXTS))
    rng = np.random.default_rng(2)
    quota = module.quotas(POOL, 700 - plan.prompts * plan.groups)
    module.draw(POOL, quota, rng)
    items = rng.choice(len(TEXTS), plan.prompts, replace=False)
    tokens = rng.choice(lm.vocabulary, plan.tokens + 1, replace=False)
    import torch

    with torch.no_grad():
        prompts = [lm.encode_prompts([TEXTS[i]])[0].astype(np.int64) for i in items[:5]]
        z = np.array([lm.model(torch.from_numpy(row)[None]).logits[0, -1].numpy() for row in prompts])
    np.testing.assert_allclose(kept["logits"][:5], z[:, tokens[1:]] - z[:, tokens[:1]], atol=2e-4)
    assert len(got) == 700 - plan.prompts * plan.groups


def test_noise_blurs_it(tmp_path):
    clean = run(api(tmp_path, 32)[1]).findings
    slight = run(api(tmp_path, 32, GaussianNoise(1e-3))[1]).findings
    strong = run(api(tmp_path, 32, GaussianNoise(1.0))[1]).findings
    assert clean["hidden_size_gap"] > slight["hidden_size_gap"] + 0.5 > strong["hidden_size_gap"] + 0.5
    assert np.isnan(strong["hidden_size"])


def test_fewer_logprobs_than_are_sold_leave_the_reference_out(tmp_path):
    got = run(api(tmp_path, 16, TopK(1))[1])
    assert np.isnan(got.findings["hidden_size"])


def test_a_budget_that_does_not_reach_finds_nothing(tmp_path):
    got = run(api(tmp_path, 64, queries=80)[1])
    assert got.findings["hidden_size_most"] < 64
    assert np.isnan(got.findings["hidden_size"])
    client = api(tmp_path, 64, queries=2)[1]
    with pytest.raises(ConfigError, match=r"budget\.queries = 2"):
        run(client)
    assert client.remaining == 2


@pytest.mark.parametrize("lacks", [{"logit_bias": False}, {"top_logprobs": 1}])
def test_what_is_not_sold_is_said_before_anything_is_spent(tmp_path, lacks):
    client = api(tmp_path, 16, interface=replace(SOLD, **lacks))[1]
    with pytest.raises(ConfigError, match=f"api.{next(iter(lacks))}"):
        run(client)
    assert client.remaining == 700


def test_forced_tokens_are_not_learnt_and_the_rest_is(tmp_path):
    client = api(tmp_path, 16)[1]
    got = run(client)
    assert client.remaining == 0
    assert got.asked == 700
    plan = planned(525, 19, client.vocabulary, len(TEXTS))
    probes = plan.prompts * plan.groups
    assert got.responses.request.tolist() == list(range(probes, 700))
    assert (got.responses.tokens.lengths > 0).all()
    assert not got.responses.cut.any()


@pytest.mark.parametrize("rank", [1, 7, 20])
def test_the_count_is_the_rank_and_a_bias_of_the_head_changes_nothing(rank):
    rng = np.random.default_rng(rank)
    logits = rng.normal(size=(60, rank)) @ rng.normal(size=(rank, 50))
    logits += 1e-6 * rng.normal(size=logits.shape)
    assert hidden_size(logits, 50.0)[0] == rank
    assert hidden_size(logits + 5 * rng.normal(size=50), 50.0)[0] == rank


def test_tokens_with_one_row_of_the_head_do_not_pass_for_a_small_hidden_size():
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(60, 40)) @ rng.normal(size=(40, 20)))[:, np.arange(50) % 20]
    logits = np.concatenate([logits, logits[:5]]) + 1e-6 * rng.normal(size=(65, 50))
    assert hidden_size(logits, 50.0)[0] == 20, "the number of different columns"
    once = distinct(distinct(logits, 50.0).T, 50.0).T
    assert once.shape == (60, 20)
    assert hidden_size(once, 50.0)[1] < 1
    logits[:, 7] = 0.0
    found = LastLayerSVD()._found(logits)
    assert np.isnan(found["hidden_size"])
    assert found["hidden_size_most"] == 19


@pytest.mark.parametrize("queries", [1, 3, 40, 500, 5000])
@pytest.mark.parametrize(("per", "owned"), [(1, 300), (4, 20), (19, 300)])
def test_plans_keep_to_what_there_is(queries, per, owned):
    plan = planned(queries, per, 144, owned)
    assert plan.prompts * plan.groups <= queries
    assert plan.prompts <= owned
    assert plan.tokens <= min(143, plan.groups * per)


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 1.1}, {"bias": 0.0}, {"least_gap": 0.0}])
def test_fields(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        LastLayerSVD(**bad)
