"""What an attacker tries out at home: as much of the API as he knows, and nothing of the provider's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from attacks.base import Recover
from attacks.compute import Compute
from attacks.knowledge import LEVELS, Knowledge
from configs.errors import ConfigError
from defenses.release.top_k import TopK
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.stages.shadow import guessed, known_part
from experiments.stages.training_set import rehearsed_of
from experiments.store.store import Store
from lm.examples import Examples
from tests.experiments.test_cell import TINY

SOLD = ["api=logprobs", "defense=[trace_summary,rounding]", "defense.rounding.digits=1"]


@dataclass(frozen=True)
class LooksOn(Recover):
    """Counts what was tried out, and leaves the rows as they are."""

    name: ClassVar[str] = "looks_on"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "test"
    rehearses: ClassVar = "interface"

    def apply(self, data: Examples, context) -> Examples:
        assert context.rehearsed is not None
        assert len(context.rehearsed.clean) == len(context.rehearsed.served)
        return data


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


def cell(level, *words, **changes):
    found = cell_from(
        compose_one([*TINY, *SOLD, f"attack/knowledge={level}", "attack.knowledge.prompts=12", *words]).config
    )
    return replace(found, recover={"looks_on": LooksOn()}, **changes)


def tried(level, store, *words):
    stage = cell(level, *words).row_stage().student.training_set
    outcome = LocalEngine(workers=0).run(plan([Wanted(stage, "test")], store), store, SilentDisplay())
    assert not outcome.failures, outcome.failures[0].traceback.read_text()
    return stage, rehearsed_of(store.get(stage.rehearsal))


def test_the_interface_is_tried_out_without_defenses(store):
    stage, found = tried("interface", store)
    assert not stage.rehearsal.offer.defenses
    assert found.clean.item.tolist() == found.served.item.tolist()
    np.testing.assert_array_equal(found.clean.completions.values, found.served.completions.values)
    assert found.served.top_logprobs.shape[1] == 5 < found.clean.top_logprobs.shape[1]
    np.testing.assert_allclose(found.clean.top_logprobs[:, :5], found.served.top_logprobs, atol=1e-6)


def test_the_method_is_tried_out_at_several_strengths(store):
    stage, found = tried("method", store)
    assert list(stage.rehearsal.offer.defenses) == ["trace_summary", "rounding"]
    digits = {offer.defenses["rounding"].digits for offer in guessed(stage.rehearsal.offer, Knowledge("method"))}
    assert len(digits) > 1
    assert len(found.served.completions.values) < len(found.clean.completions.values), (
        "working that a summary leaves out"
    )
    assert found.clean.top_logprobs is not None


def test_parameters_are_those_that_serve(store):
    stage, found = tried("parameters", store)
    (offer,) = guessed(stage.rehearsal.offer, Knowledge("parameters"))
    assert offer.defenses["rounding"].digits == 1
    assert found.served.top_logprobs is not None
    sold = np.exp(found.served.top_logprobs[np.isfinite(found.served.top_logprobs)])
    np.testing.assert_allclose(sold * 10, np.round(sold * 10), atol=1e-4)


def test_what_is_tried_out_is_paid(store):
    stage, _ = tried("method", store)
    spent = store.get(stage).meta["spent"]
    assert spent["samples"] == 2 * 12
    assert spent["steps"] == stage.harvest.student.steps
    assert spent["tokens"] > 0
    few = cell("method", budget=replace(stage.harvest.budget, compute=Compute(samples=23))).row_stage()
    outcome = LocalEngine(workers=0).run(
        plan([Wanted(few.student.training_set, "test")], store), store, SilentDisplay()
    )
    assert "budget.compute.samples = 23" in outcome.failures[0].traceback.read_text()


def test_fewer_prompts_than_guesses_are_enough(store):
    stage, found = tried("method", store, "attack.knowledge.prompts=2")
    assert stage.rehearsal.knowledge.prompts == 2
    assert len(found.clean) == len(found.served) == 2


def test_no_secret_of_the_provider_is_tried_out(store):
    stage, _ = tried("parameters", store)
    assert stage.rehearsal.seed != stage.harvest.seed
    assert stage.rehearsal.teacher.key != stage.harvest.served.key
    assert not set(stage.rehearsal.prepared.values()) & set(stage.harvest.prepared.values())


def test_a_reasoner_of_his_own_is_another_one(store):
    own = replace(cell("shadow"), recover={"looks_on": LooksOn()}).row_stage().student.training_set.rehearsal
    assert own.teacher.spec.name == cell("shadow").teacher.name
    assert own.teacher.key != cell("shadow").row_stage().student.training_set.harvest.served.key


def test_knowledge_is_in_the_key_of_what_is_learnt_from_it_alone():
    keys = {level: cell(level).row_stage().student.training_set.key for level in LEVELS[1:]}
    assert len(set(keys.values())) == 3
    plain = {level: replace(cell(level), recover={}).row_stage().student.key for level in LEVELS[1:]}
    assert len(set(plain.values())) == 1


def test_who_knows_nothing_asks_for_plain_text():
    harvests = {level: replace(cell(level), recover={}).row_stage().harvest for level in ("nothing", "interface")}
    assert harvests["nothing"].key != harvests["interface"].key
    assert Knowledge("nothing").of(harvests["nothing"].offer.interface).top_logprobs == 0


def test_what_is_not_known_is_refused():
    words = [*TINY, *SOLD, "attack/knowledge=nothing"]
    with pytest.raises(ConfigError, match=r"attack\.knowledge\.level = 'nothing'.*topk_kl"):
        cell_from(compose_one([*words, "attack/objective=topk_kl"]).config)
    with pytest.raises(ConfigError, match=r"attack\.knowledge\.level"):
        cell_from(compose_one([*TINY, "attack.knowledge.level=everything"]).config)


def test_only_what_acts_while_it_answers_is_known():
    offer = cell("method").offer
    assert known_part(offer, Knowledge("interface")).defenses == {}
    with_limits = replace(offer, defenses={**offer.defenses, "only": TopK(1)})
    assert list(known_part(with_limits, Knowledge("method")).defenses) == ["trace_summary", "rounding", "only"]
