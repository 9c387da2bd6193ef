import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments

from lm.cached import NAMES, RETURNED
from lm.mini.cache import MiniCache
from lm.mini.kernels import CausalMix, RMSNorm, SquaredReLU
from lm.mini.modeling import MiniForCausalLM
from tests.lm.mini.tiny import tiny


@pytest.fixture(scope="module")
def model():
    return tiny().model


@pytest.fixture(scope="module")
def ids():
    return torch.from_numpy(np.random.default_rng(0).integers(4, 100, (5, 12)))


def padded_left(ids, width):
    pad = torch.zeros(len(ids), width, dtype=torch.long)
    return torch.cat([pad, ids], 1), torch.cat([pad, torch.ones_like(ids)], 1)


def test_kernels_have_the_right_gradients():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 4, dtype=torch.double, generator=rng, requires_grad=True)
    w = torch.randn(3, 4, dtype=torch.double, generator=rng, requires_grad=True)
    assert gradcheck(lambda a: RMSNorm.apply(a, 1e-6), (x,))
    assert gradcheck(SquaredReLU.apply, (x,))
    assert gradcheck(CausalMix.apply, (x, w))
    assert gradcheck(CausalMix.apply, (x[:, :2].detach().requires_grad_(), w))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_cache_changes_nothing_by_either_name(model, ids, name):
    whole = model(ids).logits
    output = model(ids[:, :5], use_cache=True)
    parts = [output.logits]
    for span in (slice(5, 6), slice(6, 9), slice(9, 12)):
        output = model(ids[:, span], use_cache=True, **{name: output[RETURNED]})
        parts.append(output.logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_left_padding_changes_nothing(model, ids):
    long, mask = padded_left(ids, 4)
    torch.testing.assert_close(model(long, attention_mask=mask).logits[:, 4:], model(ids).logits, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_right_padding_changes_nothing(model, ids):
    long, mask = torch.cat([ids, ids[:, :3]], 1), torch.ones(5, 15, dtype=torch.long)
    mask[:, 12:] = 0
    torch.testing.assert_close(model(long, attention_mask=mask).logits[:, :12], model(ids).logits, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_the_last_logits_alone(model, ids):
    torch.testing.assert_close(model(ids, logits_to_keep=2).logits, model(ids).logits[:, -2:])


def test_transformers_generate_with_left_padding_and_beams(model, ids):
    long, mask = padded_left(ids, 3)
    settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    plain = model.generate(ids, **settings)
    assert torch.equal(model.generate(long, attention_mask=mask, **settings)[:, 3:], plain)
    assert torch.equal(model.generate(ids, use_cache=False, **settings), plain)
    assert model.generate(ids, num_beams=3, **settings).shape == plain.shape


@pytest.mark.parametrize("name", NAMES)
def test_transformers_generate_whatever_it_calls_the_cache(model, ids, name):
    """As an older or a newer version would hand it on."""

    class Renaming(MiniForCausalLM):
        def prepare_inputs_for_generation(self, *args, **kwargs):
            inputs = super().prepare_inputs_for_generation(*args, **kwargs)
            given = [inputs.pop(other) for other in NAMES if other in inputs]
            return {**inputs, name: given[0]} if given else inputs

    other = Renaming(model.config)
    other.load_state_dict(model.state_dict())
    settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    found = other.eval().generate(ids, **settings)
    assert torch.equal(found, model.generate(ids, use_cache=False, **settings))
    for step in range(12, 20):  # and what the whole text is followed by
        assert torch.equal(model(found[:, :step]).logits[:, -1].argmax(-1), found[:, step])


def test_no_argument_is_lost_in_silence(model, ids):
    with pytest.raises(TypeError, match="no argument past="):
        model(ids, past=object(), use_cache=True)
    with pytest.raises(TypeError, match="output_attentions=True"):
        model(ids, output_attentions=True)
    with pytest.raises(TypeError, match="two caches"):
        model(ids, cache=MiniCache(2), past_key_values=MiniCache(2), use_cache=True)
    assert model(ids, output_attentions=None, output_hidden_states=False, return_dict=True).logits.shape[:2] == (5, 12)


def test_a_foreign_cache_is_refused(model, ids):
    from transformers import DynamicCache

    cache = DynamicCache()
    cache.update(torch.zeros(5, 4, 1, 8), torch.zeros(5, 4, 1, 8), 0)
    for name in NAMES:
        with pytest.raises(TypeError, match="MiniCache"):
            model(ids, use_cache=True, **{name: cache})


def test_labels_give_the_shifted_loss(model, ids):
    logits = model(ids).logits
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(model(ids, labels=ids).loss, expected)
    torch.testing.assert_close(model(ids, labels=ids, num_items_in_batch=110).loss, expected * 55 / 110)


def test_saved_and_loaded_by_auto_classes(model, ids, tmp_path):
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).hidden_size == 32
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_trainer_and_lora(ids, tmp_path):
    peft = pytest.importorskip("peft")
    rows = [{"input_ids": row, "labels": row} for row in ids]
    adapted = peft.get_peft_model(
        tiny().model, peft.LoraConfig(r=2, target_modules=["qkv", "down"], task_type="CAUSAL_LM")
    )
    before = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    arguments = TrainingArguments(
        tmp_path, max_steps=3, report_to=[], disable_tqdm=True, use_cpu=True, learning_rate=0.01
    )
    result = Trainer(adapted, arguments, train_dataset=rows).train()
    assert np.isfinite(result.training_loss)
    changed = {name for name, p in adapted.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)
