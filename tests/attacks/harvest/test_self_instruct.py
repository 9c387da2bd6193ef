import numpy as np
import pytest

from attacks.base import HarvestContext, Pool
from attacks.budget import Budget
from attacks.client import Client
from attacks.harvest.random import Random
from attacks.harvest.self_instruct import SelfInstruct, kind, recombined
from configs.errors import ConfigError
from experiments.stages.offer import Offer, open_gateway
from experiments.store.store import Store
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Params, Prompts
from tests.attacks import world
from tests.lm.mini.tiny import tiny

LM = tiny(3)
CHAIN = [f"{i} rev {j} +{1 + i % 3}" for i in range(10) for j in range(10)]
FACTS = [f"what {name} gives {i}" for name in ("weather", "stock", "hotel") for i in range(10)]
POOL = Pool([*CHAIN, *FACTS], np.array(["chain"] * 100 + ["facts"] * 30, object), {"chain": 0.75, "facts": 0.25})


def run(tmp_path, part, queries=80, data=130):
    gateway = open_gateway(Offer(Interface(), Prices(), {}), LM, "teacher", {}, {}, Store(tmp_path / "store"), 1)
    prompts = Prompts(POOL.texts, LM.encode_prompts(POOL.texts))
    budget = Budget(queries=queries, data=data, hours=1e5)
    client = Client(gateway, prompts, budget, Params(max_tokens=4), 5, encode=LM.encode_prompts)
    context = HarvestContext(lambda: None, lambda rows: None, np.random.default_rng(2))
    return client, part.run(client, POOL, context)


def test_without_own_texts_the_requests_are_those_of_random(tmp_path):
    plain, random = run(tmp_path, Random())
    client, got = run(tmp_path, SelfInstruct(own=0.0))
    assert client.owned == []
    assert got.item.tolist() == random.item.tolist()
    assert got.responses.tokens.values.tolist() == random.responses.tokens.values.tolist()
    for one, other in zip(client.outcomes, plain.outcomes, strict=True):
        assert one.requests.seed.tolist() == other.requests.seed.tolist()
        assert one.requests.time.tolist() == other.requests.time.tolist()


@pytest.mark.parametrize("own", [0.25, 1.0])
def test_own_texts_are_new_and_of_the_form_of_their_family(tmp_path, own):
    client, got = run(tmp_path, SelfInstruct(own=own))
    texts = client.owned
    assert got.asked == len(got) == 80
    assert (got.item >= len(POOL)).sum() == len(texts)
    assert len(set(texts)) == len(texts)
    assert not set(texts) & set(POOL.texts)
    forms = [[kind(word) for word in text.split(" ")] for text in (CHAIN[0], FACTS[0])]
    made = [[kind(word) for word in text.split(" ")] for text in texts]
    assert all(form in forms for form in made)
    assert sum(form == forms[0] for form in made) == round(own * 60)
    words = {word for text in POOL.texts for word in text.split(" ")}
    assert {word for text in texts for word in text.split(" ")} <= words


def test_each_is_charged_to_the_data_budget(tmp_path):
    from attacks.budget import BudgetExceededError

    run(tmp_path, SelfInstruct(own=0.5), queries=80, data=80)
    with pytest.raises(BudgetExceededError, match="data"):
        run(tmp_path, SelfInstruct(own=0.5), queries=80, data=79)


def test_where_nothing_new_can_be_made_the_pool_is_asked():
    owned = world.pool({"chain": 30})
    got = SelfInstruct(own=1.0).run(world.client(owned, 20), owned, world.harvest_context())
    assert (got.item < 30).all()
    assert len(set(got.item.tolist())) == 20
    rng = np.random.default_rng(0)
    assert recombined(["a 1", "a 1"], 5, 1.0, rng, {"a 1"}) == []


def test_a_span_comes_from_the_other_prompt():
    made = recombined(["a 1 b", "c 2 d"], 50, 0.4, np.random.default_rng(0), {"a 1 b", "c 2 d"})
    assert set(made) == {"c 1 b", "d 1 b", "a 2 b", "a 1 c", "a 1 d", "b 1 b", "a 1 a",
                         "a 2 d", "b 2 d", "c 1 d", "c 2 a", "c 2 b", "d 2 d", "c 2 c"}  # fmt: skip


def test_kinds():
    assert [kind(w) for w in ("12", "+3", "rev", "x1", "->", "b_2")] == ["0", "+0", "a", "a0", "->", "a_0"]


@pytest.mark.parametrize("bad", [{"own": -0.1}, {"own": 1.1}, {"longest": 0.0}])
def test_fields(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        SelfInstruct(**bad)
