"""Models that parts name in their fields: in the keys with their content, examined before anything runs, opened once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from attacks.base import Recover
from configs import trust
from configs.build import build
from configs.errors import ConfigError
from defenses.base import Defense
from defenses.decoding.temperature import Temperature
from experiments.cell import Cell
from experiments.cell_from import cell_from, check
from experiments.compose.compose import compose_one
from experiments.engine.graph import Wanted, plan
from experiments.engine.memory import needed
from experiments.store.store import Store
from lm.by_spec import opened
from lm.huggingface import Pretrained
from lm.types import Channel
from tests.experiments.test_cell import TINY, run
from tests.lm import tiny

TOYS = "tests.experiments.test_models_by_spec"


def likely(spec: Pretrained, texts: list[str]) -> np.ndarray:
    """(B,) whether a model finds each text at least as likely, a token, as the median of them."""
    lm = opened(spec)
    said = lm.encode([f" {text}" for text in texts])
    scores = lm.score(lm.encode_prompts([""] * len(texts)), said)
    mean = np.bincount(said.row_of_value, scores.logprob, len(said)) / said.lengths
    return mean >= np.median(mean)


@dataclass(frozen=True)
class Mutes(Defense):
    """Hides the working of responses that a judge finds likely."""

    name: ClassVar[str] = "mutes"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "a test"
    judge: Pretrained | None = None

    def release(self, responses, context):
        if self.judge is None:
            return responses
        hidden = likely(self.judge, context.codec.decode(responses.tokens))[responses.tokens.row_of_value]
        return responses.keep_tokens(~(hidden & (responses.channel == Channel.TRACE)))


@dataclass(frozen=True)
class Keeps(Recover):
    """Keeps the rows that a judge finds likely."""

    name: ClassVar[str] = "keeps"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "a test"
    judge: Pretrained | None = None

    def apply(self, data, context):
        return data if self.judge is None else data.where(likely(self.judge, context.decode(data)))


@dataclass(frozen=True)
class Wants(Temperature):
    """Says that it uses a model which no provider has."""

    name: ClassVar[str] = "wants"
    version: ClassVar[int] = 1
    uses: ClassVar[tuple[str, ...]] = ("proxi",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save(tmp_path / "judge")


def cell(defense: Defense | None = None, recover: Recover | None = None) -> Cell:
    plain = cell_from(compose_one(TINY).config)
    offer = replace(plain.offer, defenses={} if defense is None else {"mine": defense})
    return replace(plain, offer=offer, recover={} if recover is None else {"mine": recover})


def keys(folder: Path) -> dict[str, str]:
    spec = Pretrained(str(folder), device="cpu")
    defended, recovered = cell(Mutes(spec)).row_stage(), cell(None, Keeps(spec)).row_stage()
    return {
        "teacher": defended.honest.teacher.key,
        "harvest": defended.harvest.key,
        "honest": defended.honest.key,
        "undefended harvest": recovered.harvest.key,
        "training set": recovered.student.training_set.key,
    }


def test_content_of_a_named_model_is_in_the_key_of_what_it_influences(folder: Path) -> None:
    before = keys(folder)
    assert before == keys(folder)
    tiny.change_tensors(folder, {"model.norm.weight": torch.full((32,), 1.5)})
    changed = {name for name, key in keys(folder).items() if key != before[name]}
    assert changed == {"harvest", "honest", "training set"}


def test_a_configuration_names_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_named", {"tests"})
    spec = Pretrained(str(folder), device="cpu")
    fields = {"path": str(folder), "device": "cpu"}
    for node in (fields, {"_target_": "lm.huggingface.Pretrained", **fields}):
        assert build({"_target_": f"{TOYS}.Mutes", "judge": node}, Defense, "defense.mine") == Mutes(spec)
    assert build({"_target_": f"{TOYS}.Mutes", "judge": None}, Defense, "defense.mine") == Mutes()


def test_a_named_model_that_is_not_whole_is_refused_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    whole = Pretrained(str(tiny.save(tmp_path / "whole")), device="cpu")
    check(cell(Mutes(whole), Keeps(whole)))
    (folder / "chat_template.jinja").write_text("{{ 1 + 'a' }}")
    spec = Pretrained(str(folder), device="cpu")
    for mine, place in ((cell(Mutes(spec)), "defense.mine"), (cell(None, Keeps(spec)), "attack.recover.mine")):
        with pytest.raises(ConfigError, match="cannot be filled in") as error:
            check(mine)
        assert error.value.field == f"{place}.judge.chat_template"


def test_memory_of_named_models_is_reckoned_each_once(folder: Path, tmp_path: Path) -> None:
    other = tiny.save(tmp_path / "other")
    store = Store(tmp_path / "store")
    one, two = (Pretrained(str(place), device="cpu") for place in (folder, other))

    def main(mine: Cell) -> int:
        return needed(plan([Wanted(mine.row_stage(), "test")], store), 1).main

    plain, size = main(cell()), one.in_use()
    assert size > one.checkpoint.weight_bytes() > 0
    assert main(cell(Mutes(one))) == main(cell(Mutes(one), Keeps(one))) == plain + size
    assert main(cell(Mutes(one), Keeps(two))) == plain + 2 * size


def test_a_model_is_opened_once_until_its_files_change(folder: Path) -> None:
    first = opened(Pretrained(str(folder), device="cpu"))
    assert opened(Pretrained(str(folder), device="cpu")) is first
    tiny.change_tensors(folder, {"model.norm.weight": torch.full((32,), 1.5)})
    again = opened(Pretrained(str(folder), device="cpu"))
    assert float(again.model.model.norm.weight.detach().mean()) == 1.5


def test_a_model_that_no_provider_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'proxy'.*choices: proxy, student") as error:
        check(cell(Wants(1.5)))
    assert error.value.field == "defense.mine.uses"


def test_parts_work_with_the_models_that_they_name(folder: Path, tmp_path: Path) -> None:
    spec = Pretrained(str(folder), device="cpu")
    store = Store(tmp_path / "store")
    row = cell(Mutes(spec), Keeps(spec)).row_stage()
    run(store, [row])
    counts = store.get(row.student.training_set).meta["rows_after"]
    assert 0.4 < counts["mine"] / counts["harvested"] < 0.7
    seen, all_of_it = (
        (store.get(stage).arrays("responses")["channel"] == Channel.TRACE).sum()
        for stage in (row.harvest, row.harvest_undefended)
    )
    assert 0 < seen < all_of_it
