"""Short rows are attended to by plain products on a CPU; what is learnt is the same."""

import pytest
import torch

from lm.grouped import attention_of
from lm.short_rows import LONGEST, attending
from lm.train import Trainer
from student.huggingface import HFRecipe
from student.objectives.sft import SFT
from tests.lm.test_generate import llama
from tests.lm.test_learnt_logits import ROWS


def test_only_short_rows_of_transformers_own_models_are_attended_to_otherwise():
    model = llama().model
    with attending(model, LONGEST):
        assert attention_of(model) == "eager"
    assert attention_of(model) == "sdpa"
    with attending(model, LONGEST + 1):
        assert attention_of(model) == "sdpa"
    model.set_attn_implementation("eager")
    with attending(model, 1):
        pass
    assert attention_of(model) == "eager", "what somebody chose stays"


def test_it_is_put_back_when_a_step_fails():
    model = llama().model
    with pytest.raises(RuntimeError, match="lost"), attending(model, 1):
        raise RuntimeError("lost")
    assert attention_of(model) == "sdpa"


def test_a_step_learns_the_same_either_way(monkeypatch):
    weights = []
    for longest in (0, LONGEST):
        monkeypatch.setattr("lm.short_rows.LONGEST", longest)
        model = llama().model
        Trainer(model, SFT().losses, HFRecipe(steps=2, training="full"), 0).step(ROWS)
        weights.append(model.lm_head.weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
