from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from configs.errors import ConfigError
from configs.identity import identity
from lm.types import Channel, Sampling
from student.huggingface import HFRecipe, HFStudent
from student.tuned import HFTunedTeacher
from tasks.base import Item, Split, Task, Verdict
from tests.lm import tiny

RECIPE = HFRecipe(steps=1, batch_size=2, rank=4, alpha=8)
HOW = {"lora": {"steps": 20, "lr": 0.03}, "full": {"steps": 20, "lr": 0.005, "training": "full"}}


class Sums(Task):
    """Sums with a working that their references do not show, and a letter to say at once."""

    name: ClassVar[str] = "sums"
    version: ClassVar[int] = 1
    families = ("sum", "say")

    def size(self, split: Split, family: str) -> int:
        return 60

    def items(self, split: Split, family: str, n: int, seed: int) -> list[Item]:
        place = 60 * ("public", "provider", "train", "heldout", "harder").index(split)
        return [self._item(family, place + (seed + i) % 60) for i in range(n)]

    def _item(self, family: str, number: int) -> Item:
        answer = str(number + 1) if family == "sum" else "a"
        return Item(f"{family}/{number}", family, 1, f"{family} {number}", answer, f"Answer: {answer}")

    def worked(self, item: Item) -> str:
        return f"{item.answer} - 1 + 1 = {item.answer}\n{item.reference}" if item.family == "sum" else item.reference

    def verify(self, item: Item, response: str) -> Verdict:
        right = response.endswith(f"Answer: {item.answer}")
        return Verdict(right, right)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"))


def quiet(done: int, total: int, note: str = "") -> None:
    pass


def teacher(folder: Path, **changes: object) -> HFTunedTeacher:
    return replace(HFTunedTeacher(str(folder), device="cpu", rows=40, bare=0.5, recipe=RECIPE), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("split", "place"), [("public", 0), ("provider", 1)])
def test_lessons_are_workings_of_the_named_split_and_answers_alone(folder: Path, split: str, place: int) -> None:
    spec = teacher(folder, split=split, mix={"sum": 3, "say": 1})
    lm = spec.load(Sums(), {}, 0)
    rows = spec.lessons(Sums(), lm, 5)
    known = [Sums()._item(family, number) for family in Sums.families for number in range(120)]
    by_prompt = dict(zip(lm.decode(lm.encode_prompts([item.prompt for item in known])), known, strict=True))
    items, said = [by_prompt[prompt] for prompt in lm.decode(rows.prompts)], lm.decode(rows.completions)
    assert len({item.id for item in items}) == len(rows) == 40, "each prompt once"
    assert {int(item.id.split("/")[1]) // 60 for item in items} == {place}
    assert sum(item.family == "sum" for item in items) == 30
    working = [len(text.splitlines()) == 2 for text in said]
    for item, text, worked in zip(items, said, working, strict=True):
        assert text == (Sums().worked(item) if worked else item.reference)
    alone = [item.family == "sum" and not worked for item, worked in zip(items, working, strict=True)]
    assert 5 <= sum(alone) <= 25
    assert not [w for item, w in zip(items, working, strict=True) if item.family == "say" and w]
    first, others = rows.weight[rows.completions.offsets[:-1]], np.ones(len(rows.weight), bool)
    others[rows.completions.offsets[:-1]] = False
    assert first.tolist() == [0.0 if a else 1.0 for a in alone], "a marker that was given is not learnt"
    assert rows.weight[others].all()
    ends = rows.completions.values[rows.completions.offsets[1:] - 1]
    assert np.isin(ends, lm.ends).all()
    assert (rows.channel[rows.completions.offsets[1:] - 1] == Channel.ANSWER).all()


@pytest.mark.parametrize("training", list(HOW))
def test_it_learns_what_it_is_taught_and_comes_back_from_its_weights(folder: Path, training: str) -> None:
    spec = teacher(folder, rows=2, mix={"say": 1}, recipe=replace(RECIPE, **HOW[training]))
    weights = spec.train(Sums(), 3, quiet)
    again = spec.train(Sums(), 3, quiet)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert all("lora_" in name for name in weights) == (training == "lora")
    lm = spec.load(Sums(), load(save(weights)), 3)
    asked = Sums().items("public", "say", 2, 0)
    drawn = lm.generate(lm.encode_prompts([item.prompt for item in asked]), Sampling(0.0, 12), np.arange(2))
    assert lm.decode(drawn.tokens) == ["Answer: a"] * 2
    before = HFStudent(str(folder), device="cpu").load(Sums(), {}, 0)
    drawn = before.generate(lm.encode_prompts([item.prompt for item in asked]), Sampling(0.0, 12), np.arange(2))
    assert lm.decode(drawn.tokens) != ["Answer: a"] * 2


def test_it_is_another_model_than_its_base(folder: Path) -> None:
    spec, base = teacher(folder), HFStudent(str(folder), device="cpu")
    assert spec.origin != base.origin
    assert spec.label != base.label
    assert spec.memory(Sums()) == base.memory(Sums()) > 0
    assert identity(spec) != identity(teacher(folder, bare=0.4))


def test_values_that_cannot_be(folder: Path) -> None:
    with pytest.raises(ConfigError, match="bare"):
        teacher(folder, bare=1.5)
    with pytest.raises(ConfigError, match="is not a family of task sums"):
        teacher(folder, mix={"difference": 1.0}).check(Sums(), 8)
    with pytest.raises(ConfigError, match="61 rows of say, and the public split has 60"):
        teacher(folder, rows=61, mix={"say": 1}).check(Sums(), 8)

    class Untold(Sums):
        name: ClassVar[str] = "untold"

        def worked(self, item: Item) -> str:
            return ""

    with pytest.raises(ConfigError, match="no right response"):
        teacher(folder).train(Untold(), 0, quiet)
