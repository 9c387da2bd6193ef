"""What the contracts allow, on a real model behind the real gateway: another model served, marks, who asks, text written
anew, parameters by request, completions scored, texts of the attacker's own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from attacks.budget import Budget, BudgetExceededError
from attacks.client import Client, Harvested
from configs.errors import ConfigError
from defenses.base import Defense
from defenses.decoding.lads import LADS
from experiments.stages.backend import ModelBackend
from experiments.stages.offer import Offer, ProviderModel, open_gateway
from experiments.store.store import Store
from lm.ragged import Ragged
from lm.types import Channel, Sampling
from teacher.api.errors import ApiError
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.rewriting import reworded
from teacher.api.schema import Params, Prompts, Verdicts
from tests.lm.mini.tiny import tiny

LM = tiny(3)
OTHER = tiny(4)
TEXTS = [f"chain {i % 10} add {j % 10}" for i in range(6) for j in range(4)]
EVERYTHING = Interface("all", "full", 3, logit_bias=True, prefill=True, max_n=4, seed=True, prompt_scoring=True)


def prompts(texts=TEXTS) -> Prompts:
    return Prompts(texts, LM.encode_prompts(texts))


def client(tmp_path, *defenses: Defense, interface=EVERYTHING, accounts=1, **budget) -> Client:
    offer = Offer(interface, Prices(), {d.name: d for d in defenses})
    models = {"proxy": ProviderModel("proxy", lambda: OTHER)}
    gateway = open_gateway(offer, LM, "teacher", models, {}, Store(tmp_path / "store"), 1)
    spent = Budget(**{"queries": 500, "data": 100, "accounts": accounts, "hours": 1e5, **budget})
    own = prompts()
    return Client(gateway, own, spent, Params(max_tokens=8), 5, pool=len(TEXTS), encode=LM.encode_prompts)


def same(one: Harvested, other: Harvested) -> bool:
    return all(
        np.array_equal(row, twin) for row, twin in zip(one.responses.tokens, other.responses.tokens, strict=True)
    )


class Named(Defense):
    source: ClassVar[str] = "a test"


@dataclass(frozen=True)
class Replaced(Named):
    """Serves another model."""

    name: ClassVar[str] = "replaced"
    version: ClassVar[int] = 1

    def serve(self, serving):
        return serving.model("proxy")


@dataclass(frozen=True)
class Forgets(Named):
    """Serves the teacher without its output layer."""

    name: ClassVar[str] = "forgets"
    version: ClassVar[int] = 1

    def serve(self, serving):
        model = copy.deepcopy(serving.teacher.model)
        with torch.no_grad():
            model.lm_head.weight.zero_()
        return serving.teacher.with_model(model)


@dataclass(frozen=True)
class Marks(Named):
    """Suspects every second account."""

    name: ClassVar[str] = "marks"
    version: ClassVar[int] = 1

    def admit(self, requests, state):
        return replace(Verdicts.admitted(len(requests)), marked=requests.account % 2 == 1)


@dataclass(frozen=True)
class Silences(Named):
    """Shows suspects the first token alone."""

    name: ClassVar[str] = "silences"
    version: ClassVar[int] = 1

    def release(self, responses, context):
        suspect = context.asked.marked[responses.request]
        return responses.keep_tokens(~suspect[responses.tokens.row_of_value] | (responses.tokens.position == 0))


@dataclass(frozen=True)
class ByVisit(Named):
    """Says a token that tells how often this account was here, and which row it is."""

    name: ClassVar[str] = "by_visit"
    version: ClassVar[int] = 1
    sees: ClassVar[tuple[str, ...]] = ("visit", "marked")

    def decode(self, serving, asked):
        return Tells(torch.from_numpy(20 + np.minimum(asked.visit, 5) + 10 * asked.marked))


class Tells:
    def __init__(self, token):
        self.token, self.rows = token, None

    def begin(self, rows):
        self.rows = torch.from_numpy(rows)

    def __call__(self, input_ids, scores):
        told = torch.full_like(scores, -1e9)
        told[torch.arange(len(scores)), self.token[self.rows]] = 0
        return told


@dataclass(frozen=True)
class Rewords(Named):
    """Says the text backwards where it is not empty."""

    name: ClassVar[str] = "rewords"
    version: ClassVar[int] = 1
    rewords: ClassVar[bool] = True

    def release(self, responses, context):
        texts = [" ".join(reversed(text.split())) for text in context.codec.decode(responses.tokens)]
        return reworded(responses, np.arange(len(responses)), texts, context.codec, context.format)


@dataclass(frozen=True)
class Reads(Named):
    """Looks at the whole distribution and changes nothing."""

    name: ClassVar[str] = "reads"
    version: ClassVar[int] = 1
    reads_logprobs: ClassVar[int] = -1
    seen: list[int] = field(default_factory=list)

    def release(self, responses, context):
        self.seen.append(responses.top_ids.shape[1])
        sums = np.exp(responses.top_logprobs.astype(np.float64)).sum(1)
        np.testing.assert_allclose(sums[responses.channel != Channel.TOOL], 1, atol=1e-4)
        return responses


@dataclass(frozen=True)
class Remembers(Named):
    """Refuses an account that has been answered: what `release` saw, `admit` knows."""

    name: ClassVar[str] = "remembers"
    version: ClassVar[int] = 1

    def admit(self, requests, state):
        verdicts = Verdicts.admitted(len(requests))
        verdicts.status[np.isin(requests.account, list(state.memory))] = 403
        return verdicts

    def release(self, responses, context):
        context.serving.memory.update(dict.fromkeys(context.requests.account.tolist()))
        return responses


def test_another_model_is_served_and_the_teacher_stays(tmp_path):
    before = {name: p.clone() for name, p in LM.model.named_parameters()}
    items = np.arange(8)
    plain = client(tmp_path).ask(items)
    replaced = client(tmp_path, Replaced()).ask(items)
    drawn = OTHER.generate(prompts().tokens.take(items), Sampling(1.0, 8), client(tmp_path)._noise(items))
    assert replaced.responses.tokens.values.tolist() == drawn.tokens.values.tolist()
    assert not same(plain, replaced)
    uniform = client(tmp_path, Forgets()).ask(items, top_logprobs=3)
    assert np.allclose(uniform.responses.top_logprobs, -np.log(LM.vocabulary), atol=1e-5)
    assert same(client(tmp_path).ask(items), plain), "and what was kept of the teacher is not taken for it"
    assert all(torch.equal(before[name], p) for name, p in LM.model.named_parameters())


def test_marks_reach_release_and_decode(tmp_path):
    asked = client(tmp_path, Marks(), Silences(), accounts=2).ask(np.arange(8))
    lengths = asked.responses.tokens.lengths
    assert (lengths[1::2] == 1).all()
    assert asked.responses.cut[1::2].any()
    assert (lengths[::2] > 1).any()
    told = client(tmp_path, Marks(), ByVisit(), accounts=2).ask(np.arange(8), n=2)
    first = np.array([row[0] for row in told.responses.tokens]).reshape(8, 2)
    assert (first[::2] < 30).all()
    assert (first[1::2] >= 30).all()


def test_visits_are_counted_by_account_and_prompt(tmp_path):
    asking = client(tmp_path, ByVisit())
    first = [row[0] for row in asking.ask(np.array([3, 3, 1])).responses.tokens]
    again = [row[0] for row in asking.ask(np.array([1, 3])).responses.tokens]
    assert (first, again) == ([20, 21, 20], [21, 22])
    two = client(tmp_path, ByVisit(), accounts=2).ask(np.array([3, 3, 3]))
    assert [row[0] for row in two.responses.tokens] == [20, 20, 21]


def test_what_a_defense_sees_is_in_the_key_of_what_was_sampled(tmp_path):
    visits = client(tmp_path, ByVisit())
    assert same(visits.ask(np.array([2])), client(tmp_path, ByVisit()).ask(np.array([2])))
    assert visits.ask(np.array([2])).responses.tokens[0][0] == 21, "not the answer to the first visit"


def test_text_is_written_anew_and_memory_is_shared(tmp_path):
    plain = client(tmp_path).ask(np.arange(6))
    back = client(tmp_path, Rewords()).ask(np.arange(6))
    for one, other in zip(plain.responses.tokens, back.responses.tokens, strict=True):
        words = LM.decode(Ragged.of([one]))[0].split()
        assert LM.decode(Ragged.of([other]))[0].split() == words[::-1]
        assert (one[-1] in LM.ends) == (len(other) > 0 and other[-1] in LM.ends)
    assert back.responses.output_tokens.tolist() == plain.responses.output_tokens.tolist()
    assert np.isneginf(back.responses.top_logprobs).all()
    twice = client(tmp_path, Remembers())
    assert len(twice.ask(np.array([0]))) == 1
    assert len(twice.ask(np.array([1]))) == 0


def test_each_request_has_parameters_of_its_own(tmp_path):
    items = np.arange(12)
    bias = [{5 + int(i): 9.0} if i % 3 else {} for i in items]
    own = {
        "temperature": np.where(items % 2 == 0, 0.0, 1.3),
        "max_tokens": 1 + items % 5,
        "n": 1 + items % 3,
        "logit_bias": bias,
        "prefill": ["" if i % 4 else "first" for i in items],
    }
    whole = client(tmp_path).ask(items, **own)
    assert np.bincount(whole.responses.request).tolist() == own["n"].tolist()
    asking = client(tmp_path)
    alone = [
        asking.ask(np.array([i]), **{k: v[i] if isinstance(v, list) else v[i].item() for k, v in own.items()})
        for i in items
    ]
    assert same(whole, Harvested.concat(alone))
    assert len(list((tmp_path / "store" / "generations").iterdir())) == 13, "one stored entry a batch, not one a value"


@pytest.mark.parametrize("defense", [(), (Replaced(),)])
def test_completions_are_scored_as_they_would_have_been_drawn(tmp_path, defense):
    drawing = client(tmp_path, *defense)
    drawn = drawing.ask(np.arange(10), temperature=0.7)
    filled = np.flatnonzero(drawn.responses.tokens.lengths)
    said = drawn.responses.tokens.take(filled)
    scored = drawing.score(drawn.item[filled], said, temperature=0.7)
    assert scored.responses.tokens.values.tolist() == said.values.tolist()
    at = drawn.responses.tokens.value_index(filled)
    np.testing.assert_allclose(scored.responses.logprob, drawn.responses.logprob[at], atol=1e-4)
    bill = drawing._gateway.ledger.frame().tail(len(filled))
    assert (bill["output_tokens"] == 0).all()
    assert bill["input_tokens"].to_list() == (prompts().tokens.lengths[drawn.item[filled]] + said.lengths).tolist()


def test_a_defense_chooses_the_seed_and_logprobs_stay_the_teachers(tmp_path):
    two = client(tmp_path, LADS(), accounts=2).ask(np.repeat(np.arange(6), 2), top_logprobs=2)
    said = [row.tolist() for row in two.responses.tokens]
    assert said[::2] == said[1::2], "two accounts, one draw"
    again = client(tmp_path, LADS(), accounts=1).ask(np.repeat(np.arange(6), 2), top_logprobs=2)
    assert [row.tolist() for row in again.responses.tokens][::2] == said[::2], "whoever asks, whatever seed he sends"
    assert [row.tolist() for row in again.responses.tokens][1::2] != said[1::2], "but for the second time"
    scored = client(tmp_path).score(two.item, two.responses.tokens)
    np.testing.assert_allclose(two.responses.logprob, scored.responses.logprob, atol=1e-4)
    assert (two.responses.logprob < 0).any()


def test_a_completion_sent_to_be_scored_is_the_clients_own_text(tmp_path):
    said = LM.generate(prompts().tokens.take(np.arange(6)), Sampling(1.0, 8), np.arange(6)).tokens
    plain = client(tmp_path).score(np.arange(6), said)
    scored = client(tmp_path, Rewords()).score(np.arange(6), said)
    assert scored.responses.tokens.values.tolist() == said.values.tolist()
    np.testing.assert_array_equal(scored.responses.logprob, plain.responses.logprob)


@pytest.mark.parametrize("sold", [0, 2])
def test_a_defense_reads_more_logprobs_than_are_sold(tmp_path, sold):
    reading, most = Reads(), LM.vocabulary
    plain = client(tmp_path).ask(np.arange(6), top_logprobs=sold)
    found = client(tmp_path, reading).ask(np.arange(6), top_logprobs=sold)
    assert found.responses.tokens.values.tolist() == plain.responses.tokens.values.tolist()
    assert reading.seen == [most]
    if not sold:
        assert found.responses.logprob is None
        assert found.responses.top_ids is None
        return
    assert found.responses.top_ids.shape[1] == sold
    np.testing.assert_array_equal(found.responses.top_ids, plain.responses.top_ids)
    np.testing.assert_allclose(found.responses.top_logprobs, plain.responses.top_logprobs, atol=1e-6)


def test_there_has_to_be_room_for_what_a_defense_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("teacher.api.gateway.MOST_READ", 6 * 8 * LM.vocabulary * 8 - 1)
    with pytest.raises(ConfigError, match=rf"defense\.reads = '{LM.vocabulary} logprobs a token'.*6 requests"):
        client(tmp_path, Reads()).ask(np.arange(6))
    client(tmp_path, Reads()).ask(np.arange(5))


def test_scores_have_to_be_sold_and_to_fit(tmp_path):
    said = LM.encode(["first add"] * 2)
    with pytest.raises(ApiError, match="does not score"):
        client(tmp_path, interface=replace(EVERYTHING, prompt_scoring=False)).score(np.arange(2), said)
    with pytest.raises(ConfigError, match="completions"):
        client(tmp_path).score(np.arange(3), said)


def test_texts_of_his_own_are_asked_and_charged_to_the_data_budget(tmp_path):
    asking = client(tmp_path, data=3)
    own = asking.own(["first 1 add 2", "chain 3"])
    assert own.tolist() == [len(TEXTS), len(TEXTS) + 1]
    answered = asking.ask(np.concatenate([[0], own]))
    assert answered.item.tolist() == [0, *own]
    tokens = LM.encode_prompts(["chain 3"])
    again = client(tmp_path, data=3)
    again.own(["first 1 add 2", "chain 3"])
    alone = LM.generate(tokens, Sampling(1.0, 8), again._noise(own[1:]))
    assert answered.responses.tokens[2].tolist() == alone.tokens[0].tolist()
    with pytest.raises(BudgetExceededError, match="data"):
        asking.ask(np.array([1]))
    assert asking.owned == ["first 1 add 2", "chain 3"]


def test_a_model_that_is_not_declared_cannot_be_run(tmp_path):
    class Undeclared(Replaced):
        name: ClassVar[str] = "undeclared"
        version: ClassVar[int] = 1
        uses: ClassVar[tuple[str, ...]] = ()

    with pytest.raises(RuntimeError, match="says so: uses"):
        client(tmp_path, Undeclared())


def test_the_backend_alone_serves_the_plain_model(tmp_path):
    backend = ModelBackend(LM, lambda asked: (), Store(tmp_path / "store"), {})
    assert backend.serving("anything").teacher is LM
    assert backend.codec is LM
