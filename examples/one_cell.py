"""One cell in plain Python: a teacher behind a defended API, an attacker who asks it, a student that learns from that.

``python examples/one_cell.py`` takes some minutes. `moatbench run` does the same, stores every step and adds the controls
(no defense, no teacher) and the honest users that a number needs to mean something.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from attacks.budget import Budget
from attacks.client import Client
from attacks.examples import to_examples
from defenses.base import Defense
from defenses.release.trace_hidden import TraceHidden
from experiments.stages.offer import Offer, open_gateway
from experiments.stages.prompts import draw, prompts_of
from experiments.store.store import Store
from lm.language_model import LanguageModel
from lm.types import Sampling
from student.mini import MiniStudent
from student.objectives.sft import SFT
from student.translate import translate
from tasks.base import Item
from tasks.mini import MiniTask
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Params
from teacher.mini import MiniTeacher

TASK = MiniTask()


def quiet(done: int, total: int, note: str = "") -> None:
    """Progress that nobody is told."""


def accuracy(lm: LanguageModel, items: list[Item]) -> float:
    """Share of the items that a model answers right, greedily."""
    prompts = prompts_of(TASK, items, lm)
    drawn = lm.generate(prompts.tokens, Sampling(0.0, 64), np.zeros(len(items), np.int64), tools=prompts.tools)
    right = [TASK.verify(item, text).strict for item, text in zip(items, lm.decode(drawn.tokens), strict=True)]
    return float(np.mean(right))


def cell(
    teacher: MiniTeacher, student: MiniStudent, defenses: Mapping[str, Defense], queries: int, folder: Path
) -> dict[str, float]:
    """Accuracy on held-out reasoning of teacher, base student and student; what the attack cost in dollars.

    Args:
        teacher: recipe of the teacher.
        student: recipe of the student, base model included.
        defenses: by name, in order.
        queries: prompts that are asked, once each.
        folder: where sampled answers are kept.
    """
    served = teacher.load(TASK, teacher.train(TASK, 0, quiet), 0)
    base = student.load(TASK, student.train(TASK, 0, quiet), 0)
    items = draw(TASK, "train", {"chain": queries}, seed=0)
    prompts = prompts_of(TASK, items, served)
    gateway = open_gateway(Offer(Interface(), Prices(), defenses), served, "teacher", {}, {}, Store(folder), seed=0)
    client = Client(gateway, prompts, Budget(queries=queries, data=queries), Params(max_tokens=64))
    harvested = client.ask(np.arange(len(items)))
    rows = translate(to_examples(harvested, prompts.tokens), served, base)
    learnt = student.load(TASK, student.fit(base, rows, SFT(), 0, quiet).weights, 0)
    heldout = draw(TASK, "heldout", {"chain": 200}, seed=0)
    models = {"teacher": served, "base": base, "student": learnt}
    dollars = float(gateway.ledger.column("dollars").sum())
    return {**{name: accuracy(model, heldout) for name, model in models.items()}, "dollars": dollars}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for defenses in ({}, {"trace_hidden": TraceHidden()}):
            print(list(defenses) or "no defense", cell(MiniTeacher(), MiniStudent(), defenses, 1000, Path(place)))
