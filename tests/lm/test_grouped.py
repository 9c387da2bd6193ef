"""Queries that share keys attend in groups on a CPU, and get what transformers' own attention gives them."""

import copy

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lm.grouped import FUSED, GROUPED, attend_in_groups, attention_of
from lm.growing import GrowingDecoder
from lm.short_rows import attending


def model_of(kept: int, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    sizes = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(**sizes, intermediate_size=48, num_key_value_heads=kept)).eval()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", [1, 2, 4])
@torch.no_grad()
def test_logits_are_those_of_transformers_own(kept, dtype):
    plain, rng = model_of(kept, dtype), np.random.default_rng(0)
    grouped = copy.deepcopy(plain)
    attend_in_groups(grouped)
    assert attention_of(grouped) == GROUPED
    assert attention_of(plain) == FUSED
    ids = torch.from_numpy(rng.integers(3, 90, (3, 9)))
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    near = {"atol": 0.06, "rtol": 0.06} if dtype == torch.bfloat16 else {"atol": 1e-5, "rtol": 1e-5}
    for given in ({"attention_mask": mask}, {}):
        found = grouped(ids, **given).logits[:, 4:]
        torch.testing.assert_close(found, plain(ids, **given).logits[:, 4:], **near)


def test_it_is_called_for_steps_and_contexts(monkeypatch):
    asked, fused = [], torch.nn.functional.scaled_dot_product_attention

    def seen(query, *others, **options):
        asked.append((query.shape[2], options.get("enable_gqa", False)))
        return fused(query, *others, **options)

    monkeypatch.setattr("lm.grouped.scaled_dot_product_attention", seen)
    model = model_of(2)
    attend_in_groups(model)
    with torch.no_grad():
        decoder = GrowingDecoder(model, [np.array([5, 6, 7], np.int32), np.array([8], np.int32)], 0)
        decoder.start()
        decoder.next(np.arange(2), torch.tensor([9, 9]))
    assert asked[-1] == (1, True)


def test_a_fit_attends_in_its_own_way_and_puts_it_back():
    model = model_of(2)
    attend_in_groups(model)
    with attending(model, 8):
        assert attention_of(model) == "eager"
    assert attention_of(model) == GROUPED


def test_what_somebody_chose_stays():
    model = model_of(2)
    model.set_attn_implementation("eager")
    attend_in_groups(model)
    assert attention_of(model) == "eager"


def test_an_option_it_does_not_know_is_left_to_transformers(monkeypatch):
    model, called = model_of(2), []
    attend_in_groups(model)
    monkeypatch.setattr("lm.grouped.scaled_dot_product_attention", lambda *a, **k: called.append(k))
    ids, mask = torch.tensor([[4, 5, 6]]), torch.tensor([[0, 1, 1]])
    with torch.no_grad():
        assert torch.isfinite(model(ids, attention_mask=mask, softcap=None, is_causal=True, strange=1.0).logits).all()
    assert not called
