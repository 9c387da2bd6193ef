import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from lm.from_words import word_examples
from lm.train import Recipe
from student.fit import fit
from student.mini import MiniStudent
from student.objectives.base import Objective
from student.objectives.sft import SFT
from tasks.mini import MiniTask
from tests.lm.mini.tiny import tiny

TASK = MiniTask()
SMALL = MiniStudent(
    width=16,
    layers=1,
    heads=2,
    base_rows=(2, 2, 2, 2),
    base_recipe=Recipe(steps=3),
    recipe=Recipe(steps=3, batch_size=4),
)


def quiet(done, total, note=""):
    pass


def rows(lm):
    items = TASK.items("train", "chain", 8, 0)
    return word_examples(lm, [i.prompt for i in items], [i.reference for i in items])


def test_train_load_fit_round_trip_and_same_seed_same_weights():
    weights = SMALL.train(TASK, 1, quiet)
    again = SMALL.train(TASK, 1, quiet)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    lm = SMALL.load(TASK, weights, 1)
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    fitted = SMALL.fit(lm, rows(lm), SFT(), 5, quiet).weights
    assert all(torch.equal(lm.model.state_dict()[name], before[name]) for name in before)
    assert any(not torch.equal(fitted[name].to(lm.device), before[name]) for name in fitted)
    loaded = SMALL.load(TASK, fitted, 0)
    assert not loaded.model.training
    assert torch.equal(loaded.model.state_dict()["embed.weight"].cpu(), fitted["embed.weight"])


def test_scratch_is_the_fresh_model():
    scratch = MiniStudent(width=16, layers=1, heads=2, init="scratch")
    assert (scratch.train(TASK, 1, quiet)["lm_head.weight"] == 0).all()


def test_a_shorter_fit_is_that_of_a_shorter_recipe():
    assert SMALL.within(2).recipe == Recipe(steps=2, batch_size=4)
    assert SMALL.within(2).base_config() == SMALL.base_config()
    assert SMALL.within(9) == SMALL
    lm = SMALL.load(TASK, SMALL.train(TASK, 1, quiet), 1)
    assert len(SMALL.within(2).fit(lm, rows(lm), SFT(), 5, quiet).losses) == 2


def test_the_fit_is_no_part_of_the_base():
    assert (
        SMALL.base_config()
        == MiniStudent(
            width=16, layers=1, heads=2, base_rows=(2, 2, 2, 2), base_recipe=Recipe(steps=3), recipe=Recipe(steps=99)
        ).base_config()
    )


@pytest.mark.parametrize("rows", [(1, 2, 3, -4), (1,), (0, 0, 0, 0), (1, 2, 3, 4, 5)])
def test_rows_of_a_step_are_four_counts(rows):
    with pytest.raises(ConfigError, match="base_rows"):
        MiniStudent(base_rows=rows)


def test_wrong_settings_and_empty_sets_are_refused():
    with pytest.raises(ConfigError, match="width"):
        MiniStudent(width=30)
    with pytest.raises(ConfigError, match="did you mean 'base'"):
        MiniStudent(init="bases")  # type: ignore[arg-type]
    lm = tiny()
    with pytest.raises(ConfigError, match="at least one"):
        fit(lm, rows(lm).take(np.zeros(0, np.int64)), SFT(), Recipe(steps=1), 0, quiet)

    class Logprobs(SFT):
        needs_top_logprobs = True

    assert issubclass(Logprobs, Objective)
    with pytest.raises(ConfigError, match="logprobs"):
        fit(lm, rows(lm), Logprobs(), Recipe(steps=1), 0, quiet)
