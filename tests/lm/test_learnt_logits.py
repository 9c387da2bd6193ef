"""A fit of a transformers model computes the logits of what is learnt alone; its gradient is that of transformers' own
loss."""

import copy

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from configs.errors import ConfigError
from lm.batch import collate
from lm.examples import Examples
from lm.learnt_logits import learnt_logits
from lm.ragged import Ragged
from lm.train import Recipe, _backward
from student.huggingface import HFRecipe
from student.objectives.sft import SFT
from tests.lm.test_generate import llama
from tests.lm.test_growing import SIZES, gpt2

RNG = np.random.default_rng(0)
COMPLETIONS = Ragged.of([RNG.integers(4, 100, 1 + i % 7) for i in range(10)])
TOKENS = len(COMPLETIONS.values)
ROWS = Examples(
    Ragged.of([RNG.integers(4, 100, 3 + i % 5) for i in range(10)]),
    COMPLETIONS,
    channel=np.zeros(TOKENS, np.uint8),
    weight=np.ones(TOKENS, np.float32),
    item=np.arange(10),
    cut=np.zeros(10, np.bool_),
)


def gemma():
    """Its logits go through a soft cap after the head."""
    config = Gemma2Config(**SIZES, intermediate_size=64, num_key_value_heads=2, head_dim=8, final_logit_softcapping=2.0)
    return Gemma2ForCausalLM(config)


def lora():
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(llama().model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=rng))
    return wrapped


def ours(model, precision=""):
    recipe = HFRecipe(training="full", micro_tokens=40, precision=precision)
    loss = _backward(model, ROWS, SFT().losses, recipe, 0, torch.device("cpu"))
    return loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def theirs(model):
    """What `transformers.Trainer` minimises of one padded batch: labels of -100 are not learnt."""
    batch = collate(ROWS, np.arange(len(ROWS)), 0, torch.device("cpu"))
    after = torch.cat([batch.input_BT, batch.target_BT[:, -1:]], 1)
    labels = after.clone()
    labels[:, 0] = -100
    labels[:, 1:][batch.weight_BT == 0] = -100
    mask = torch.cat([batch.mask_BT, torch.zeros(len(after), 1, dtype=torch.int64)], 1)
    loss = model(input_ids=after, attention_mask=mask, labels=labels, use_cache=False).loss
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("model", [llama().model, gpt2(), gemma(), lora()], ids=["llama", "gpt2", "gemma2", "lora"])
def test_loss_and_gradient_are_transformers_own(model):
    model.eval()  # without dropout
    (found, grads), (expected, wanted) = ours(copy.deepcopy(model)), theirs(model)
    assert found == pytest.approx(expected, rel=1e-5)
    assert grads.keys() == wanted.keys()
    for name, grad in wanted.items():
        torch.testing.assert_close(grads[name], grad, atol=2e-5, rtol=1e-3)


def test_the_head_reads_what_is_learnt_alone():
    model, read = llama().model, []
    model.get_output_embeddings().register_forward_hook(lambda m, args, out: read.append(out.shape))
    batch = collate(ROWS, np.arange(len(ROWS)), 0, torch.device("cpu"))
    logits, kept = learnt_logits(model, batch)
    assert read == [(1, TOKENS, 120)]
    assert logits.shape == (1, TOKENS, 120)
    assert kept.target_BT.tolist() == [COMPLETIONS.values.tolist()]
    model(batch.input_BT)
    assert read[-1] == (*batch.input_BT.shape, 120), "and all of it again afterwards"


def test_products_in_bfloat16_leave_weights_and_gradients_in_float32():
    exact, rough = ours(llama().model), ours(llama().model, "bfloat16")
    assert rough[0] == pytest.approx(exact[0], rel=2e-2)
    assert rough[0] != exact[0]
    assert all(grad.dtype == torch.float32 for grad in rough[1].values())
    assert Recipe().computes_in == ""
    with pytest.raises(ConfigError, match="precision"):
        HFRecipe(precision="float8")
    with pytest.raises(ConfigError, match="micro_tokens"):
        Recipe(micro_tokens=0)
