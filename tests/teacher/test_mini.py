from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from lm.from_words import word_examples
from lm.train import Recipe
from lm.types import Channel
from tasks.mini import MiniTask, Wording
from teacher.mini import Curriculum, MiniTeacher

TASK = MiniTask()
SMALL = MiniTeacher(
    width=16, layers=1, heads=2, curriculum=Curriculum(4, (2, 2, 2), (2, 2, 2), (2, 2, 2)), recipe=Recipe(steps=4)
)


def quiet(done, total, note=""):
    pass


def test_same_seed_same_teacher_and_it_can_be_asked():
    weights = SMALL.train(TASK, 3, quiet)
    again = SMALL.train(TASK, 3, quiet)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    lm = SMALL.load(TASK, weights, 0)
    prompts = lm.encode_prompts([item.prompt for item in TASK.items("heldout", "tool", 4, 0)])
    from lm.types import Sampling

    assert len(lm.generate(prompts, Sampling(1.0, 5), np.arange(4)).tokens) == 4


def test_lessons_never_hold_a_held_out_or_harder_prompt():
    lm = SMALL.load(TASK, SMALL.train(TASK, 0, quiet), 0)
    rng = np.random.default_rng(0)
    texts = [t for done in np.linspace(0, 0.99, 60) for t in lm.decode(SMALL._lesson(TASK, lm, done, rng).prompts)]
    family = {"C": "code", "U": "tool"}
    words = [tuple(text.split()) for text in texts]
    splits = {TASK.family("facts" if "K" in w else family.get(w[0], "chain")).split_of(w) for w in words}
    assert splits <= {"train", "public", "provider"}


def test_hard_wordings_come_early_and_what_was_not_asked_for_never():
    """The older wording is what it was, draw for draw; of split states there are many first, then as many as it says."""
    lm = SMALL.load(TASK, SMALL.train(TASK, 0, quiet), 0)

    def joined(teacher, done):
        rows = teacher._lesson(TASK, lm, done, np.random.default_rng(0))
        return sum(text.split().count("&") for text in lm.decode(rows.completions))

    wording = Wording(split=0.0)
    often = replace(SMALL, wording=Wording(split=0.02), curriculum=replace(SMALL.curriculum, chain=200, split_rate=0.5))
    assert joined(replace(often, wording=wording, curriculum=replace(often.curriculum, split_rate=0.0)), 0.5) == 0
    assert joined(often, 0.5) > 8 * joined(often, 0.9) > 0


def test_rows_are_in_the_chat_template_with_weights_by_channel():
    lm = SMALL.load(TASK, SMALL.train(TASK, 0, quiet), 0)
    item = TASK.items("train", "tool", 1, 0)[0]
    rows = word_examples(lm, [item.prompt], [item.reference], state_weight=3.0)
    assert np.array_equal(rows.prompts.values, lm.encode_prompts([item.prompt]).values)
    assert np.array_equal(rows.completions.values[:-1], lm.encode([item.reference]).values)
    assert rows.completions.values[-1] == lm.tokenizer.eos_token_id
    assert (rows.weight[rows.channel == Channel.TOOL] == 0).all()
    assert rows.weight[list(item.steps)].tolist() == [3.0] * len(item.steps)


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match=r"wording\.merge"):
        Wording(merge=1.5)
    with pytest.raises(ConfigError, match=r"teacher\.width"):
        MiniTeacher(width=90)
