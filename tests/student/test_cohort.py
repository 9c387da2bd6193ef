"""Students fitted at once."""

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from experiments.stages.prompts import prompts_of
from lm.from_words import word_examples
from lm.train import Recipe
from lm.types import Sampling
from student.base import Fit
from student.cohort import Student, fit_cohort
from student.mini import MiniStudent
from student.objectives.sft import SFT
from student.objectives.topk_kl import TopKKL
from tasks.mini import MiniTask
from tests.lm.mini.tiny import tiny

TASK = MiniTask()


def quiet(done, total, note=""):
    pass


def rows(lm, count, seed=0, family="code"):
    items = TASK.items("train", family, count, seed)
    return word_examples(lm, [i.prompt for i in items], [i.reference for i in items])


def test_members_of_a_cohort_are_those_of_their_own_fits():
    specs = [MiniStudent(width=16, layers=1, heads=2, recipe=Recipe(steps=s, batch_size=4)) for s in (2, 3)]
    lm = tiny(width=16, layers=1)
    assert len({spec.cohort_key() for spec in specs}) == 1
    fits = [Fit(spec, lm, rows(lm, 6, seed=i), SFT(), 7 + i) for i, spec in enumerate(specs)]
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    together = MiniStudent.fit_together(fits, quiet)
    for fit, found in zip(fits, together, strict=True):
        alone = fit.spec.fit(fit.lm, fit.examples, fit.objective, fit.seed, quiet)
        assert all(torch.equal(found.weights[name], alone.weights[name]) for name in alone.weights)
        assert len(found.losses) == fit.spec.steps
        assert np.array_equal(found.losses, alone.losses)
    assert all(torch.equal(lm.model.state_dict()[name], before[name]) for name in before)
    first, second = (found.weights for found in together)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_shapes_and_optimizers_are_kept_apart():
    base = MiniStudent()
    others = [MiniStudent(width=32), MiniStudent(layers=1), MiniStudent(recipe=Recipe(optimizer="adamw"))]
    assert base.cohort_key() not in {other.cohort_key() for other in others}
    assert MiniStudent(recipe=Recipe(steps=9, lr=0.1)).cohort_key() == base.cohort_key()


def test_a_member_without_rows_or_logprobs_is_refused():
    lm = tiny()
    good = Student(lm, rows(lm, 3), SFT(), Recipe(steps=1), 0)
    with pytest.raises(ConfigError, match="at least one"):
        fit_cohort([good, good._replace(examples=good.examples.take(np.zeros(0, np.int64)))], quiet)
    with pytest.raises(ConfigError, match="logprobs"):
        fit_cohort([good._replace(objective=TopKKL())], quiet)


@pytest.mark.slow
def test_stacked_students_are_as_good_as_those_trained_alone():
    """Four students a way, coding only: accuracies differ by less than their spread over seeds."""
    spec = MiniStudent(base_rows=(0, 32, 0, 0), base_recipe=Recipe(steps=60))
    lm = spec.load(TASK, spec.train(TASK, 0, quiet), 0)
    recipe = Recipe(steps=120, balance=True)
    students = [Student(lm, rows(lm, 500, seed), SFT(), recipe, seed) for seed in range(4)]
    items = TASK.items("heldout", "code", 150, 0)

    def accuracy(fitted):
        prompts = prompts_of(TASK, items, fitted)
        drawn = fitted.generate(prompts.tokens, Sampling(0.0, 24), np.zeros(len(items), np.int64), tools=prompts.tools)
        texts = fitted.decode(drawn.tokens)
        return np.mean([TASK.verify(i, text).strict for i, text in zip(items, texts, strict=True)])

    alone = [accuracy(one.lm) for one in fit_cohort(students, quiet, size=1)]
    stacked = [accuracy(one.lm) for one in fit_cohort(students, quiet, size=4)]
    assert np.mean(alone) > 0.6
    assert abs(np.mean(alone) - np.mean(stacked)) < 0.05
