from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config

from configs.errors import ConfigError
from lm.shallower import kept_layers, shallower, shallower_config

SIZE = {"hidden_size": 16, "num_hidden_layers": 5, "num_attention_heads": 2, "vocab_size": 40, "pad_token_id": 0}
KINDS = ["full_attention", "sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]
CONFIGS = {
    "llama": LlamaConfig(**SIZE, intermediate_size=24, num_key_value_heads=1, tie_word_embeddings=True),
    "qwen2": Qwen2Config(
        **SIZE,
        intermediate_size=24,
        num_key_value_heads=1,
        use_sliding_window=True,
        sliding_window=3,
        layer_types=KINDS,
    ),
    "gpt2": GPT2Config(n_embd=16, n_layer=5, n_head=2, vocab_size=40, bos_token_id=0, eos_token_id=0),
}


def saved(folder: Path, kind: str) -> Path:
    AutoModelForCausalLM.from_config(CONFIGS[kind]).save_pretrained(folder)
    return folder


def layers_of(model: torch.nn.Module) -> torch.nn.ModuleList:
    return next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_it_computes_what_the_whole_model_does_without_those_layers(tmp_path: Path, kind: str) -> None:
    """Against another way to the same: the whole model with the layers taken out of its list."""
    folder = saved(tmp_path, kind)
    whole = AutoModelForCausalLM.from_pretrained(folder).eval()
    small = shallower(whole, shallower_config(AutoConfig.from_pretrained(folder), 3)).eval()
    ids = torch.arange(24).reshape(2, 12)
    untouched = whole(ids, use_cache=False).logits
    layers = layers_of(whole)
    if kind == "qwen2":  # the model, too, keeps a list of what each layer attends to
        whole.config.layer_types = [KINDS[i] for i in (0, 2, 4)]
    kept = [layers[i] for i in (0, 2, 4)]
    del layers[3], layers[1]
    whole.config.num_hidden_layers = 3
    assert [a is b for a, b in zip(layers, kept, strict=True)] == [True] * 3
    expected = whole(ids, use_cache=False).logits
    torch.testing.assert_close(small(ids, use_cache=False).logits, expected)
    assert (untouched - expected).abs().max() > 1e-3
    grown = small.generate(ids, max_new_tokens=6, do_sample=False)  # the cache counts layers from 0
    for cut in range(12, 17):
        assert small(grown[:, :cut], use_cache=False).logits[:, -1].argmax(-1).tolist() == grown[:, cut].tolist()


def test_all_layers_are_the_model_itself_in_half_precision_too(tmp_path: Path) -> None:
    folder = saved(tmp_path, "llama")
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    same = shallower(whole, shallower_config(AutoConfig.from_pretrained(folder), 5)).eval()
    ids = torch.arange(24).reshape(2, 12)
    assert same.dtype == torch.bfloat16
    assert torch.equal(whole(ids).logits, same(ids).logits)
    assert same.get_output_embeddings().weight is same.get_input_embeddings().weight, "tied as they were"


@pytest.mark.parametrize("whole", [5, 30])
def test_layers_are_spread_with_both_ends(whole: int) -> None:
    for count in range(2, whole + 1):
        kept = kept_layers(whole, count)
        gaps = {b - a for a, b in pairwise(kept)}
        assert (kept[0], kept[-1], len(kept)) == (0, whole - 1, count)
        assert max(gaps) - min(gaps) <= 1
    assert kept_layers(whole, 1) == [0]


def test_more_layers_than_there_are() -> None:
    with pytest.raises(ConfigError, match="which is 5"):
        shallower_config(CONFIGS["llama"], 6)
