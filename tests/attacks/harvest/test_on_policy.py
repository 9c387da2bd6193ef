"""A student's own answers, scored by a real model behind the real gateway."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.base import HarvestContext, Pool
from attacks.budget import Budget
from attacks.client import Client
from attacks.harvest.on_policy import OnPolicy
from attacks.harvest.random import Random
from configs.errors import ConfigError
from experiments.stages.offer import Offer, open_gateway
from experiments.store.store import Store
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Params, Prompts
from tests.lm.mini.tiny import tiny

TEACHER, STUDENT, LATER = tiny(3), tiny(4, 16), tiny(6, 16)
SOLD = Interface("scoring", "full", 4, prompt_scoring=True)
TEXTS = [f"{i} rev {j}" for i in range(10) for j in range(6)]
POOL = Pool(TEXTS, np.array(["chain"] * 60, object), {"chain": 1.0})


def run(tmp_path, part, interface=SOLD, student=STUDENT, queries=40):
    gateway = open_gateway(Offer(interface, Prices(), {}), TEACHER, "t", {}, {}, Store(tmp_path / "store"), 1)
    prompts = Prompts(TEXTS, TEACHER.encode_prompts(TEXTS))
    client = Client(gateway, prompts, Budget(queries=queries, data=60, hours=1e5), Params(max_tokens=6), 5)
    fits = []

    def fit_rows(rows, start=None):
        fits.append((rows, start))
        return LATER

    context = HarvestContext(lambda: student, lambda rows: student, np.random.default_rng(2), fit_rows=fit_rows)
    return client, fits, lambda: part.run(client, POOL, context)


def test_rounds_train_on_everything_so_far_and_go_on_from_the_last_model(tmp_path):
    client, fits, go = run(tmp_path, OnPolicy(0.5, 2))
    got = go()
    assert client.remaining == 0
    assert len(set(got.item.tolist())) == len(got) == 40
    assert [len(rows) for rows, _ in fits] == [20, 30]
    assert [start for _, start in fits] == [STUDENT, LATER]
    rows = fits[1][0]
    assert rows.top_logprobs.shape[1] == 4
    assert rows.prompts[25].tolist() == STUDENT.encode_prompts([TEXTS[got.item[25]]])[0].tolist()


def test_the_first_answers_are_those_of_random(tmp_path):
    _, _, go = run(tmp_path, OnPolicy(1.0, 2))
    _, _, random = run(tmp_path, Random())
    one, other = go(), random()
    assert one.item.tolist() == other.item.tolist()
    assert one.responses.tokens.values.tolist() == other.responses.tokens.values.tolist()


def test_the_students_tokens_come_back_with_the_teachers_logprobs(tmp_path):
    client, _, go = run(tmp_path, OnPolicy(0.5, 1))
    got = go()
    own = got.take(np.arange(20, 40))
    rng = np.random.default_rng(2)
    rng.permutation(rng.choice(60, 40, replace=False))
    from lm.types import Sampling

    asked = STUDENT.encode_prompts([TEXTS[i] for i in own.item])
    said = LATER.generate(asked, Sampling(1.0, 6), rng.integers(2**62, size=20, dtype=np.int64)).tokens
    assert own.responses.tokens.values.tolist() == said.values.tolist()
    scores = TEACHER.score(client.prompts.tokens.take(own.item), said)
    np.testing.assert_allclose(own.responses.logprob, scores.logprob, atol=1e-4)
    assert client._gateway.ledger.frame().tail(20)["output_tokens"].sum() == 0


@pytest.mark.parametrize("lacks", [{"prompt_scoring": False}, {"top_logprobs": 0}])
def test_what_is_not_sold_is_said_before_anything_is_spent(tmp_path, lacks):
    client, _, go = run(tmp_path, OnPolicy(), replace(SOLD, **lacks))
    with pytest.raises(ConfigError, match=f"api.{next(iter(lacks))}"):
        go()
    assert client.remaining == 40


def test_another_tokenizer_is_refused_before_anything_is_spent(tmp_path):
    class Shifted(type(STUDENT)):
        def encode(self, texts):
            tokens = super().encode(texts)
            return replace(tokens, values=tokens.values + 1)

    shifted = Shifted(**vars(STUDENT))
    client, _, go = run(tmp_path, OnPolicy(), student=shifted)
    with pytest.raises(ConfigError, match="different tokenizers"):
        go()
    assert client.remaining == 40


@pytest.mark.parametrize("bad", [{"initial": 0.0}, {"initial": 1.1}, {"rounds": 0}, {"own_temperature": 0.0}])
def test_fields(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        OnPolicy(**bad)
