"""The provider's proxy may be another model than the attacker's student starts from: each side then has its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from configs.errors import ConfigError
from defenses.base import Defense
from defenses.decoding.kgw import KGW
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.stages.row import RowStage
from experiments.store.stage import Stage
from experiments.store.store import Store
from lm.types import Channel
from student.mini import MiniStudent
from tests.experiments.test_cell import TINY, run

OTHER = ["proxy=mini", "proxy.width=32", "proxy.recipe.steps=3", "proxy.base_recipe.steps=3"]
SAME = ["proxy=mini", "proxy.recipe.steps=3", "proxy.base_recipe.steps=3"]


def row_of(*words: str) -> RowStage:
    return cell_from(compose_one([*TINY, *words]).config).row_stage()


def widths(stage: Stage, seen: dict[str, set[int]] | None = None) -> dict[str, set[int]]:
    """Widths of the models below a stage, by the name of the stage that makes them."""
    seen = {} if seen is None else seen
    spec = getattr(stage, "spec", None)
    if isinstance(spec, MiniStudent):
        seen.setdefault(stage.name, set()).add(spec.width)
    for needed in stage.inputs().values():
        widths(needed, seen)
    return seen


@pytest.mark.parametrize("defense", ["none", "antidistillation", "product_of_experts"])
def test_a_proxy_equal_to_the_student_changes_no_key(defense: str) -> None:
    assert row_of(f"defense={defense}", *SAME).key == row_of(f"defense={defense}").key


@pytest.mark.parametrize("defense", ["antidistillation", "product_of_experts"])
def test_the_provider_has_its_own_and_the_attacker_his(defense: str) -> None:
    plain, other = row_of(f"defense={defense}"), row_of(f"defense={defense}", *OTHER)
    assert other.harvest.key != plain.harvest.key
    assert other.honest.key != plain.honest.key
    for role in ("undefended", "self", "base", "teacher"):
        assert other.scores[role].key == plain.scores[role].key
    assert other.honest_clean.key == plain.honest_clean.key
    assert other.harvest.base.spec.width == other.student.spec.width == other.harvest.student.width == 64
    assert widths(other.honest)["base"] == {32}
    assert widths(other.harvest)["base"] == {32, 64}
    assert all(widths(stage)["base"] == {32} for stage in other.harvest.prepared.values())
    own = {width for name, found in widths(other.honest).items() if name == "proxy_student" for width in found}
    assert own == ({32} if defense == "product_of_experts" else set())


@pytest.mark.parametrize("proxy", ["narrow", "stale", "reseeded"])
@pytest.mark.parametrize("defense", ["antidistillation", "antidistillation_student"])
def test_a_named_mismatch_is_the_provider_s_alone(defense: str, proxy: str) -> None:
    plain, other = row_of(f"defense={defense}", "proxy=mini"), row_of(f"defense={defense}", f"proxy={proxy}")
    assert other.honest.key != plain.honest.key
    assert other.harvest.prepared[defense].key != plain.harvest.prepared[defense].key
    for role in ("undefended", "self", "base", "teacher"):
        assert other.scores[role].key == plain.scores[role].key


@pytest.mark.parametrize("defense", ["none", "kgw"])
def test_what_no_defense_runs_is_in_no_key(defense: str) -> None:
    assert row_of(f"defense={defense}", *OTHER).key == row_of(f"defense={defense}").key


def test_evidence_is_found_with_the_provider_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KGW, "uses", ("proxy",))
    found = row_of("defense=kgw", *OTHER).evidence
    widths = {role: stage.models.proxy.spec.width for role, stage in found.items()}
    assert widths == {"student": 32, "undefended": 32, "self": 32}


def test_the_field_that_is_wrong_is_the_proxy_s() -> None:
    with pytest.raises(ConfigError) as error:
        row_of("proxy=mini", "proxy.width=30")
    assert error.value.field == "proxy.width"


def test_a_resolved_cell_says_its_proxy_where_it_has_one() -> None:
    assert "proxy" not in cell_from(compose_one(TINY).config).resolved
    other = cell_from(compose_one([*TINY, *OTHER]).config)
    assert other.resolved["proxy"]["width"] == 32
    assert cell_from({**compose_one(TINY).plain, "proxy": other.resolved["proxy"]}).proxy == other.proxy
    without = {name: part for name, part in compose_one(TINY).plain.items() if name != "proxy"}
    assert cell_from(without).row_stage().key == row_of().key


WIDTHS: set[int] = set()
"""Of the proxies that `Looks` was given."""


@dataclass(frozen=True)
class Looks(Defense):
    """Hides the working of responses that the proxy finds likelier than most."""

    name: ClassVar[str] = "looks"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "a test"

    def release(self, responses, context):
        proxy = context.serving.proxy()
        WIDTHS.add(proxy.model.config.hidden_size)
        prompts = context.prompts.tokens.take(context.requests.prompt[responses.request])
        logprob = proxy.score(prompts, responses.tokens).logprob
        row = responses.tokens.row_of_value
        mean = np.bincount(row, logprob, len(responses)) / np.maximum(responses.tokens.lengths, 1)
        return responses.keep_tokens((responses.channel != Channel.TRACE) | (mean < np.median(mean))[row])


def test_a_cell_with_two_bases_runs_each_side_with_its_own(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = cell_from(compose_one([*TINY, *OTHER, "attack/harvest=uncertainty"]).config)
    cell = replace(plain, offer=replace(plain.offer, defenses={"looks": Looks()}))
    fitted: list[int] = []
    fit = MiniStudent.fit

    def watched(spec, lm, *arguments):
        fitted.append(lm.model.config.hidden_size)
        return fit(spec, lm, *arguments)

    monkeypatch.setattr(MiniStudent, "fit", watched)
    run(Store(tmp_path / "store"), [cell.row_stage()])
    assert {32} == WIDTHS
    assert set(fitted) == {64}, "what the attacker trains between his questions starts from his own base"
