"""No part of an attack spends more than its budget, whatever its size: counted where requests are sent and models run, not
by the books that the budget keeps."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import attacks.client
from attacks.base import Pool
from attacks.budget import Budget, BudgetExceededError, allocate
from attacks.client import Client
from attacks.compute import Compute
from attacks.examples import to_examples
from configs.errors import ConfigError
from defenses.admission.limits.token_bucket import TokenBucket
from lm.from_words import word_examples
from lm.ragged import Ragged
from lm.recipe import Recipe
from lm.reinforce import _MiniPolicy
from student.mini import MiniStudent
from teacher.api.gateway import Gateway
from teacher.api.prices import Prices
from teacher.api.schema import Params, Prompts
from tests.attacks.refine_world import TEXTS, refine_context, taught
from tests.attacks.test_contract import EVERYTHING, Refuses, names, part
from tests.attacks.world import Format, Table, V, harvest_context, recover_context
from tests.lm.mini.tiny import tiny

torch.set_num_threads(1)
DEFENSES = {
    "none": {},
    "refuses": {"refuses": Refuses()},
    "slows": {"slows": TokenBucket(requests_per_minute=1, burst_minutes=1)},
}


@dataclass
class Sent:
    """What went to the API: requests (those tried again once), their prompts, completions to be scored."""

    requests: int = 0
    prompts: set[int] = field(default_factory=set)
    scored: int = 0


def owned(size: int) -> Pool:
    """Prompts of three words of two families, which can be recombined."""
    mix = {"chain": 0.6, "code": 0.4}
    texts = [f"{i % V} {i // V} {i * 7 % 10}" for i in range(size)]
    family = np.repeat(np.array(list(mix), object), list(allocate(size, mix).values()))
    return Pool(texts, family, mix)


def client_of(pool: Pool, budget: Budget, defenses) -> Client:
    gateway = Gateway(Table(), EVERYTHING, defenses, Prices(), Format())
    encode = Table().encode
    return Client(gateway, Prompts(pool.texts, encode(pool.texts)), budget, Params(max_tokens=16), 3, encode=encode)


def watched(patch: pytest.MonkeyPatch) -> Sent:
    sent, exchange = Sent(), attacks.client.exchange

    def counted(gateway, requests, *args, completions=None, **kwargs):
        sent.requests += len(requests)
        sent.prompts |= set(requests.prompt.tolist())
        sent.scored += 0 if completions is None else len(completions)
        return exchange(gateway, requests, *args, completions=completions, **kwargs)

    patch.setattr(attacks.client, "exchange", counted)
    return sent


SIZES = st.sampled_from([1, 2, 7, 40])


@pytest.mark.parametrize("name", names("harvest"))
@pytest.mark.parametrize("defense", DEFENSES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(queries=SIZES, data=SIZES, pool=SIZES, spent=st.sampled_from([0, 1, 2, 7]), seed=st.integers(0, 5))
def test_harvests(name, defense, queries, data, pool, spent, seed):
    """With any pool, and what is left after ``spent`` queries of it. Where the pool is the data budget, as it is in a cell,
    and nothing is spent, a budget that cannot be spent is refused before anything is asked, and any other is spent whole."""
    prompts, spent = owned(pool), min(spent, queries, data, pool)
    with pytest.MonkeyPatch.context() as patch:
        sent = watched(patch)
        api = client_of(prompts, Budget(queries=queries, data=data, hours=1e6), DEFENSES[defense])
        if spent:
            api.ask(np.arange(spent))
        found, refused = None, None
        try:
            found = part("harvest", name).run(api, prompts, harvest_context(seed))
        except (BudgetExceededError, ConfigError) as error:
            refused = type(error)
        if data == pool and not spent:
            assert sent.requests == (queries if refused is None else 0)
            assert refused in (None, ConfigError)
        assert sent.requests <= queries
        assert len(sent.prompts) <= data
        assert sent.scored <= queries
        asked_own = {item for item in sent.prompts if item >= pool}
        assert len(asked_own) <= len(api.owned)
        assert api.remaining == queries - sent.requests, "the books are right"
        if found is not None:
            assert found.asked + spent == sent.requests


def test_texts_of_his_own_and_scoring_are_really_met():
    """What the test above would miss where no harvest did them."""
    made = scored = 0
    for name in names("harvest"):
        with pytest.MonkeyPatch.context() as patch:
            sent, pool = watched(patch), owned(40)
            part("harvest", name).run(client_of(pool, Budget(40, 40, 1e6), {}), pool, harvest_context())
            made += sum(item >= 40 for item in sent.prompts)
            scored += sent.scored
    assert made > 5
    assert scored > 5


@pytest.mark.parametrize("name", names("recover"))
@pytest.mark.parametrize("defense", DEFENSES)
def test_recover_steps_ask_nothing_and_learn_what_is_theirs(name, defense):
    pool = owned(20)
    with pytest.MonkeyPatch.context() as patch:
        api = client_of(pool, Budget(20, 20, 1e6), DEFENSES[defense])
        got = api.ask(np.arange(20))
        sent = watched(patch)
        rows = to_examples(got, Ragged.of([[i] for i in range(20)]))
        context = replace(recover_context(), texts=pool.texts, interface=EVERYTHING)
        cleaned = part("recover", name).apply(rows, context)
        assert sent == Sent()
        assert set(cleaned.item.tolist()) <= {-1, *range(20)}


LM = tiny(3)
COMPUTE = st.builds(
    Compute,
    st.sampled_from([0, 1, 2, 7, 64]),
    st.sampled_from([0, 1, 2, 7, 61, 400]),
    st.sampled_from([0, 1, 2, 7]),
)


@pytest.mark.parametrize("name", names("refine"))
@settings(max_examples=25)
@example(allowed=Compute(64, 400, 2), each=2, length=5, every=1)
@given(allowed=COMPUTE, each=st.sampled_from([1, 2, 7]), length=st.sampled_from([1, 5]), every=st.integers(1, 3))
def test_refining(name, allowed, each, length, every):
    """Samples and tokens where the model says them, steps where it is trained; ``each`` a fit."""
    spent = SimpleNamespace(samples=0, tokens=0, steps=0)
    generate, learn = type(LM).generate, _MiniPolicy.learn

    def said(lm, prompts, *args, **kwargs):
        found = generate(lm, prompts, *args, **kwargs)
        spent.samples += len(prompts)
        spent.tokens += len(found.tokens.values)
        return found

    def learnt(policy, rows):
        spent.steps += 1
        return learn(policy, rows)

    def fit(rows, start=None):
        context.compute.book(steps=each)  # as `RefineStage` does
        spent.steps += each
        return LM

    def check(item, text):
        return len(text) % (every + 1) == 0

    context = refine_context(check, allowed, LM, fit=fit, max_tokens=length, data=taught(LM))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(LM), "generate", said)
        patch.setattr(_MiniPolicy, "learn", learnt)
        part("refine", name).run(context)
    for what in ("samples", "tokens", "steps"):
        assert getattr(spent, what) <= getattr(allowed, what)
        assert getattr(spent, what) == getattr(context.compute, what), "the books are right"


@pytest.mark.parametrize("name", names("refine"))
def test_refining_spends_where_there_is_something_to_spend(name):
    context = refine_context(
        lambda item, text: len(text) % 2 == 0, Compute(96, 400, 7), LM, fit=lambda rows, start: LM, data=taught(LM)
    )
    part("refine", name).run(context)
    assert context.compute.samples > len(TEXTS)
    assert context.compute.tokens > 0


@pytest.mark.parametrize("name", names("objective"))
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_fit_with_an_objective_takes_the_steps_that_are_booked_for_it(name, steps):
    """`RefineStage` books `StudentSpec.steps` before a fit; counted by the losses asked for."""
    spec, objective, asked = MiniStudent(recipe=Recipe(steps=steps, batch_size=4)), part("objective", name), []
    rows = word_examples(LM, ["3 +1 ?", "C flip ?"], ["+1 -> 4 # 4", "# rev ( x )"])
    if objective.needs_top_logprobs:
        n = len(rows.completions.values)
        top = np.full((n, 2), np.log(0.4), np.float32)
        rows = replace(rows, top_ids=np.tile(np.array([3, 4], np.int32), (n, 1)), top_logprobs=top)
    losses = type(objective).losses

    def counted(self, *args):
        asked.append(1)
        return losses(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(objective), "losses", counted)
        fitted = spec.fit(LM, rows, objective, 0, lambda *_: None)
    assert len(asked) == len(fitted.losses) == spec.steps == steps


@pytest.mark.parametrize("field", ["queries", "data"])
def test_a_budget_of_nothing_is_refused(field):
    with pytest.raises(ConfigError, match=rf"budget\.{field} = 0: must be at least 1"):
        Budget(**{field: 0})
