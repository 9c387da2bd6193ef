"""Students that a provider trains while it prepares a defense."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from defenses.release.trace_rewritten import TraceRewritten
from experiments.stages.prepare import PrepareStage
from lm.from_words import word_examples
from lm.recipe import Recipe
from lm.seeds import derived_seed
from student.mini import MiniStudent
from student.objectives.sft import SFT
from tasks.mini import MiniTask

TASK = MiniTask()
SMALL = MiniStudent(16, 1, 2, base_rows=(2, 2, 2, 2), base_recipe=Recipe(steps=2), recipe=Recipe(steps=4, batch_size=4))


@pytest.mark.parametrize(("steps", "taken"), [(None, 4), (2, 2), (9, 4)])
def test_they_are_trained_as_students_are_or_in_fewer_steps(steps, taken):
    base = SMALL.load(TASK, SMALL.train(TASK, 1, lambda *told: None), 1)
    items = TASK.items("provider", "chain", 8, 0)
    rows = word_examples(base, [i.prompt for i in items], [i.reference for i in items])
    told = []
    context = SimpleNamespace(progress=lambda done, total, note="": told.append((done, total)))
    stage = PrepareStage(SimpleNamespace(task=TASK), None, TraceRewritten(0.7), 8, 5, student=SMALL)
    fitted = stage._fitted(rows, steps, base, base, context)
    assert told[-1] == (taken, taken)
    alone = SMALL.within(taken).fit(base, rows, SFT(), derived_seed(5, "proxy"), lambda *told: None).weights
    assert all(torch.equal(value.cpu(), alone[name]) for name, value in fitted.model.state_dict().items())
