"""A judge in the place of an answer checker."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.identity import identity
from tasks.answers import marked_answer, visible_answer
from tasks.base import Verdict
from tasks.dataset import DatasetTask
from tasks.imported_ratings import ImportedRatings
from tasks.text_judge import Ratings, TextJudge

pytest.importorskip("datasets")
ASKED: list[list[str]] = []


@dataclass(frozen=True, kw_only=True)
class Contains(TextJudge):
    """Finds an answer good that has the reference somewhere in it."""

    name: ClassVar[str] = "contains"
    version: ClassVar[int] = 1

    def ratings(self, judged):
        ASKED.append(list(judged.texts))
        found = np.array([5.0 if r in t else 1.0 for r, t in zip(judged.references, judged.texts, strict=True)])
        return Ratings(found, np.ones(len(found)))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> DatasetTask:
    file = tmp_path_factory.mktemp("data") / "open.jsonl"
    rows = [{"question": f"Why {i}?", "answer": f"because {i}"} for i in range(30)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DatasetTask(str(file), checker="judge", judge=Contains())


def test_the_judge_decides_and_the_form_makes_it_strict(task: DatasetTask) -> None:
    item = task.items("train", "all", 1, 0)[0]
    right = item.answer
    assert task.verify(item, f"well\nAnswer: yes,\n{right}") == Verdict(True, True)
    assert task.verify(item, f"I think {right}") == Verdict(False, True)
    assert task.verify(item, f"{right}\nAnswer: no idea") == Verdict(False, False)
    assert task.verify(item, "") == Verdict(False, False)
    assert task.formed(item, f"Answer: yes,\n{right}")
    assert not task.formed(item, right)
    assert task.verify(item, f"<think>{right}</think>\nAnswer: no") == Verdict(False, False)


def test_all_answers_are_judged_in_one_go(task: DatasetTask) -> None:
    items = task.items("train", "all", 3, 0)
    ASKED.clear()
    found = task.verdicts(items, [f"Answer: {items[0].answer}", "", f"Answer: {items[0].answer}"])
    assert [verdict.strict for verdict in found] == [True, False, False]
    assert [len(texts) for texts in ASKED] == [2]
    plain = replace(task, checker="exact", judge=None)
    assert [verdict.strict for verdict in plain.verdicts(items, [f"Answer: {i.answer}" for i in items])] == [True] * 3


def test_a_task_without_a_judge_is_known_as_before(task: DatasetTask) -> None:
    plain = replace(task, checker="exact", judge=None)
    assert "judge" not in identity(plain)["fields"]
    assert identity(task)["fields"]["judge"]["name"] == "contains"


def test_a_judge_that_cannot_check_answers_is_refused(task: DatasetTask) -> None:
    for changed, reason in (
        ({"judge": None}, "must be given with checker=judge"),
        ({"checker": "exact"}, "must be judge where there is one"),
        ({"judge": ImportedRatings(path="x.jsonl")}, "rates stored texts alone"),
        ({"checker": "jugde"}, "did you mean 'judge'"),
    ):
        with pytest.raises(ConfigError, match=reason):
            replace(task, **changed)


def test_where_an_answer_of_several_lines_is() -> None:
    assert marked_answer("a\nAnswer: b\nAnswer: c\nd", "Answer:") == "c\nd"
    assert marked_answer("the Answer: b", "Answer:") is None
    assert marked_answer("a\nb\n", "") == "a\nb"
    assert visible_answer("<think>x</think> a\nb", "Answer:") == "a\nb"


def test_a_configuration_names_the_judge(tmp_path: Path) -> None:
    from configs.build import build
    from tasks.base import Task

    file = tmp_path / "q.jsonl"
    file.write_text(json.dumps({"question": "q", "answer": "a"}) + "\n")
    judge = {"_target_": "lm.model_judge.ModelJudge", "model": {"path": "MODEL"}, "scale": ["no", "yes"]}
    node = {"_target_": "tasks.dataset.DatasetTask", "path": str(file), "checker": "judge", "judge": judge}
    task = build(node, Task, "task")
    assert task.judge.model.path == "MODEL"
    with pytest.raises(ConfigError, match=r"task\.judge\.shows\[0\]"):
        build({**node, "judge": {**judge, "shows": ["answer"]}}, Task, "task")
