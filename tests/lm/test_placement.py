"""Where weights go and in how many bits. Several GPUs and bitsandbytes are not here: what is asked of them is looked at."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

import lm.placement
from configs.errors import ConfigError
from configs.identity import identity
from lm.checkpoint import Checkpoint
from lm.huggingface import Pretrained
from lm.placement import held_bytes, loading, placed
from lm.types import Sampling
from student.huggingface import HFRecipe, HFStudent
from tests.lm import tiny
from tests.lm.architectures import draw


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"))


def test_what_is_not_quantised_is_found_under_its_old_key(folder: Path) -> None:
    assert "quantize" not in identity(Pretrained(str(folder)))["fields"]


def test_unknown_ways_are_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="choices: 4bit, 8bit"):
        Pretrained("a/b", quantize="2bit")
    with pytest.raises(ConfigError, match=r"\.gguf file is quantised already"):
        Pretrained("model.gguf", quantize="4bit")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configs.extras.find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"quantize = '4bit': needs the package bitsandbytes: pip install -e '.\[quantize\]'"
    ):
        Pretrained("a/b", quantize="4bit")
    with pytest.raises(ConfigError, match="device = 'gpus': needs the package accelerate"):
        Pretrained("a/b", device="gpus")


def test_a_student_is_not_quantised(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm.placement, "needs", lambda *given: None)
    for training in ("full", "lora"):
        with pytest.raises(ConfigError, match=r"quantised weights cannot be trained in full.*dtype=bfloat16"):
            HFStudent(str(folder), quantize="4bit", recipe=HFRecipe(training=training))


def test_a_model_on_all_gpus_needs_one(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match="device = 'gpus': needs a GPU"):
        Pretrained(str(folder), device="gpus").open()


def test_what_transformers_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm.placement, "single_device", lambda device: torch.device("cuda:0"))
    monkeypatch.setattr(lm.placement, "_bits", lambda quantize, dtype: (quantize, dtype))
    assert loading("cuda", "", torch.bfloat16) == {}
    assert loading("gpus", "", torch.bfloat16) == {"device_map": "auto"}
    both = {"quantization_config": ("4bit", torch.bfloat16)}
    assert loading("cuda", "4bit", torch.bfloat16) == {"device_map": {"": "cuda:0"}, **both}
    assert loading("gpus", "4bit", torch.bfloat16) == {"device_map": "auto", **both}


def test_weights_go_where_they_are_asked_to_while_they_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    load = AutoModelForCausalLM.from_pretrained

    def watched(*given: Any, **named: Any) -> Any:
        asked.append(named)
        return load(*given, **named)

    monkeypatch.setattr("lm.checkpoint.loading", lambda *given: {"device_map": {"": "cpu"}})
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", watched)
    model = Checkpoint(str(folder)).model("gpus")
    assert asked[0]["device_map"] == {"": "cpu"}
    model.hf_device_map = {"model": 0, "lm_head": 1}  # as it is after being read onto two GPUs
    monkeypatch.setattr(model, "to", lambda device: pytest.fail("moved"))
    assert placed(model, "cuda") is model


def test_quantised_weights_are_planned_smaller(folder: Path) -> None:
    """The embeddings, which are the head here, and the norms stay as they are."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    whole, linear = held_bytes(model), sum(p.numel() for n, p in model.named_parameters() if "proj" in n)
    assert whole == sum(p.numel() * 2 for p in model.parameters())
    assert held_bytes(model, "8bit") == whole - linear
    assert held_bytes(model, "4bit") == whole - 2 * linear + int(linear * 4.5 / 8)
    assert Checkpoint(str(folder), dtype="bfloat16", quantize="4bit").weight_bytes() == held_bytes(model, "4bit")


@pytest.mark.lm
@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_a_quantised_model_answers_much_as_the_whole_one(tmp_path: Path, quantize: str) -> None:
    """Wide enough for blocks of 64 weights."""
    folder = tiny.save(tmp_path)
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    vocabulary = len(tiny.tokenizer())
    model = AutoModelForCausalLM.from_config(LlamaConfig(**shape, vocab_size=vocabulary, max_position_embeddings=128))
    draw(model)
    model.save_pretrained(folder)
    whole, rounded = (Pretrained(str(folder), device="cpu", quantize=q).open() for q in ("", quantize))
    prompts = whole.encode_prompts(["What is 12 + 7?"])
    drawn = rounded.generate(prompts, Sampling(0.0, 8), np.arange(1))
    assert drawn.tokens.lengths[0] > 0
    gap = rounded.score(prompts, drawn.tokens).logprob - whole.score(prompts, drawn.tokens).logprob
    assert 0 < np.abs(gap).max() < 3
