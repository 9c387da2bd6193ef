"""Words put at the start of answers, in a table's API and in front of a real model."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.base import HarvestContext
from attacks.examples import to_examples
from attacks.harvest.prefill import Prefill, first_words, own_first_words
from attacks.harvest.random import Random
from configs.errors import ConfigError
from defenses.base import Defense
from experiments.stages.offer import Offer, open_gateway
from experiments.store.store import Store
from lm.types import Sampling
from teacher.api.prices import Prices
from teacher.api.schema import FORBIDDEN, Params, Prompts, Verdicts
from tests.attacks.harvest.test_on_policy import POOL, STUDENT, TEACHER, TEXTS
from tests.attacks.test_contract import EVERYTHING
from tests.attacks.world import MARK, Format, client, examples, harvest_context, pool

OWNED = pool({"chain": 60})


def test_asks_what_random_asks_and_learns_the_word_first():
    api = client(OWNED, 30, EVERYTHING)
    got = Prefill().run(api, OWNED, harvest_context())
    plain = Random().run(client(OWNED, 30, EVERYTHING), OWNED, harvest_context())
    assert got.item.tolist() == plain.item.tolist()
    rows = to_examples(got, api.prompts.tokens, Format())
    assert {row[0] for row in rows.completions} == {0}, "what the student of this world says first to any prompt"


@pytest.mark.parametrize(("most", "words"), [(1, {"4"}), (2, {"4", "2"}), (9, {"4", "2", "7"})])
def test_public_words_are_the_commonest_ones_as_often_as_they_occur(most, words):
    begins = [4] * 60 + [2] * 30 + [7] * 10
    rows = examples([[(word, 1), (MARK, 4), (1, 4)] for word in begins])
    context = replace(harvest_context(), public=lambda n, seed=0: rows.take(np.arange(min(n, 100))))
    got = Prefill(words="public", most=most).run(client(OWNED, 60, EVERYTHING), OWNED, context)
    given = [str(row[0]) for row in got.prefill]
    assert set(given) <= words
    assert given.count("4") > (0 if most == 1 else given.count("2"))
    assert len(given) == 60


def test_of_equally_common_words_the_first():
    assert first_words(["b x", "a", "", "  a y", "b", "c"], 2) == {"b": 2, "a": 2}


def test_the_own_word_is_the_first_of_the_own_answer():
    texts = TEXTS[:5]
    said = STUDENT.generate(STUDENT.encode_prompts(texts), Sampling(0.0, 8), np.zeros(5, np.int64)).tokens
    assert own_first_words(STUDENT, texts) == [text.split()[0] for text in STUDENT.decode(said)]


def test_a_real_teacher_goes_on_from_the_word_and_bills_it(tmp_path):
    from attacks.budget import Budget
    from attacks.client import Client

    gateway = open_gateway(Offer(EVERYTHING, Prices(), {}), TEACHER, "t", {}, {}, Store(tmp_path / "store"), 1)
    prompts = Prompts(TEXTS, TEACHER.encode_prompts(TEXTS))
    api = Client(gateway, prompts, Budget(queries=20, data=60, hours=1e5), Params(0.0, max_tokens=5), 5)
    context = HarvestContext(lambda: STUDENT, lambda rows, seed=0: STUDENT, np.random.default_rng(2))
    got = Prefill().run(api, POOL, context)
    rows = to_examples(got, prompts.tokens, TEACHER.format)
    words = STUDENT.encode(own_first_words(STUDENT, [TEXTS[i] for i in got.item]))
    assert [row[0] for row in rows.completions] == [row[0] for row in words]
    follows = TEACHER.generate(
        prompts.tokens.take(got.item), Sampling(0.0, 5), np.zeros(20, np.int64), prefill=words
    ).tokens
    assert got.responses.tokens.values.tolist() == follows.values.tolist()
    billed = gateway.ledger.column("input_tokens")
    assert billed.sum() == prompts.tokens.lengths[got.item].sum() + 20


class RefusesAll(Defense):
    source = "test"

    def admit(self, requests, state):
        verdicts = Verdicts.admitted(len(requests))
        verdicts.status[:] = FORBIDDEN
        return verdicts


def test_where_all_is_refused_there_are_no_rows():
    api = client(OWNED, 30, EVERYTHING, {"refuses": RefusesAll()})
    got = Prefill().run(api, OWNED, harvest_context())
    assert got.asked == 30
    assert len(to_examples(got, api.prompts.tokens, Format())) == 0


def test_what_is_not_sold_is_said_before_anything_is_spent():
    api = client(OWNED, 30, replace(EVERYTHING, prefill=False))
    with pytest.raises(ConfigError, match=r"api\.prefill"):
        Prefill().run(api, OWNED, harvest_context())
    assert api.remaining == 30


@pytest.mark.parametrize("bad", [{"words": "mine"}, {"most": 0}, {"public_rows": 0}])
def test_fields(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Prefill(**bad)
