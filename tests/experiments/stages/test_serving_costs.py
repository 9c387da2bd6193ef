"""What defenses run while an API serves, through a real gateway and a real stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from experiments.stages.offer import Offer, sampled_from
from experiments.stages.serving import serving_part
from lm.passes import counting
from tests.experiments.stages.test_abilities import LM, OTHER, Named, client
from tests.experiments.test_cell import rows_of
from tests.lm.test_passes import Runs, size


@dataclass(frozen=True)
class OneProxy(Named):
    """Runs the proxy once a step."""

    name: ClassVar[str] = "one_proxy"
    version: ClassVar[int] = 1

    def decode(self, serving, asked):
        return Runs(serving.proxy())


@dataclass(frozen=True)
class Ensemble(Named):
    """Runs the proxy and a copy of it once a step."""

    name: ClassVar[str] = "ensemble"
    version: ClassVar[int] = 1

    def decode(self, serving, asked):
        return Runs(serving.proxy(), serving.proxy())


@dataclass(frozen=True)
class ReadsOnce(Named):
    """Lets the proxy read each answer once, before it leaves."""

    name: ClassVar[str] = "reads_once"
    version: ClassVar[int] = 1

    def release(self, responses, context):
        proxy = context.serving.proxy()
        proxy.score(context.prompts.tokens.take(context.requests.prompt), responses.tokens)
        return responses


def counted(tmp_path, *defenses):
    with counting() as passes:
        responses = client(tmp_path, *defenses).ask(np.arange(8)).responses
    return passes, responses


def test_an_undefended_api_runs_nothing_extra(tmp_path):
    passes, responses = counted(tmp_path)
    assert passes.tokens == responses.output_tokens.sum() > 0
    assert passes.extra_per_token == passes.extra_compute == 0


@pytest.mark.parametrize(("defenses", "models"), [([OneProxy()], 1), ([Ensemble()], 2), ([OneProxy(), Ensemble()], 3)])
def test_models_of_a_decoding_defense_are_so_many_passes_a_token(tmp_path, defenses, models):
    passes, _ = counted(tmp_path, *defenses)
    assert passes.extra_per_token == pytest.approx(models)
    assert passes.extra_compute == pytest.approx(models * size(OTHER) / size(LM))


def test_what_runs_before_an_answer_leaves_counts_too(tmp_path):
    passes, responses = counted(tmp_path, ReadsOnce())
    assert passes.extra == len(responses) == 8
    assert passes.extra_per_token == pytest.approx(8 / passes.tokens)
    assert passes.seconds["release"] > 0


def test_a_backend_without_a_store_draws_the_same_anew(tmp_path):
    kept = client(tmp_path).ask(np.arange(8)).responses
    anew = client(tmp_path)
    gateway = anew._gateway
    gateway.backend = replace(gateway.backend, store=None)
    with counting() as passes:
        again = anew.ask(np.arange(8)).responses
    assert passes.tokens == again.output_tokens.sum()
    assert np.array_equal(kept.tokens.values, again.tokens.values)
    with counting() as passes:
        client(tmp_path).ask(np.arange(8))
    assert passes.tokens == 0, "stored generations run nothing, and nothing is counted"


def test_defenses_that_only_judge_requests_have_no_stage():
    (none,), (judged,), (both,), (hidden,) = (
        rows_of(f"defense={name}") for name in ("none", "query_quota", "[query_quota,antidistillation]", "trace_hidden")
    )
    assert none.costs is judged.costs is None
    assert list(both.costs.offer.defenses) == ["antidistillation"]
    assert hidden.costs is not None
    assert serving_part(none.harvest.offer) is None


def test_what_raw_generations_are_stored_under_is_as_before():
    (row,) = rows_of("defense=none")
    offer: Offer = row.harvest.offer
    assert sampled_from(offer, "teacher", {}, {}) == {"teacher": "teacher", "decode": []}
    (row,) = rows_of("defense=antidistillation")
    told = sampled_from(row.harvest.offer, "teacher", {"proxy": "base"}, {"antidistillation": "prepared"})
    assert list(told) == ["teacher", "decode"]
    assert told["decode"][0][1:] == ["prepared", {"proxy": "base"}]
    (row,) = rows_of("defense=doge")
    assert list(sampled_from(row.harvest.offer, "t", {"student": "s"}, {})) == ["teacher", "serve", "decode"]
