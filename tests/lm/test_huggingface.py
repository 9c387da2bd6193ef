from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import lm.checkpoint
from configs.errors import ConfigError
from lm.checkpoint import fingerprint
from lm.grouped import GROUPED, attention_of
from lm.half_norm import Quick
from lm.huggingface import Pretrained
from lm.types import Channel, Sampling
from tasks.base import Task
from teacher.huggingface import HFTeacher
from tests.lm import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"))


def test_greedy_text_is_that_of_transformers(folder: Path) -> None:
    model = HFTeacher(str(folder), device="cpu").load(Task, {}, 0)  # type: ignore[arg-type]
    prompts = model.encode_prompts(["What is 12 + 7?", "Hence?"])
    drawn = model.generate(prompts, Sampling(0.0, 12, 2), np.arange(2))
    reference = AutoModelForCausalLM.from_pretrained(folder)
    for row, (prompt, tokens) in enumerate(zip(prompts, drawn.tokens, strict=True)):
        given = torch.tensor(prompt[None].astype(np.int64))
        whole = reference.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=12)
        assert whole[0, given.shape[1] :].tolist() == tokens.tolist(), row
    assert drawn.top_logprobs is not None
    assert np.isfinite(drawn.logprob).all()


def test_numbers_do_not_depend_on_what_a_model_did_before(folder: Path) -> None:
    """What is changed of a model is changed when it is opened, not when it first samples."""
    lm = Pretrained(str(folder), dtype="bfloat16", device="cpu").open()
    assert attention_of(lm.model) == GROUPED
    assert any(isinstance(module, Quick) for module in lm.model.modules())
    prompts, said = lm.encode_prompts(["What is 12 + 7?", "And 3 + 4?"]), lm.encode(["19, it is", "7"])
    before = lm.score(prompts, said).logprob
    lm.generate(prompts, Sampling(1.0, 6), np.arange(2))
    assert np.array_equal(lm.score(prompts, said).logprob, before)


def test_system_message_and_template_of_the_configuration(folder: Path) -> None:
    template = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}>"
    model = Pretrained(str(folder), system="Be brief.", chat_template=template, device="cpu").open()
    assert model.decode(model.encode_prompts(["Hi"])) == ["[system]Be brief.[user]Hi>"]


def test_working_that_the_template_or_a_prefill_opens_is_working(folder: Path) -> None:
    opens = tiny.TEMPLATE.replace("assistant\n{%", "assistant\n<think>\n{%")
    assert opens != tiny.TEMPLATE
    plain, opened = (Pretrained(str(folder), chat_template=t, device="cpu").open() for t in ("", opens))
    word = int(plain.encode(["7"]).values[0])  # all that is ever said: no mark, and no end
    cut = Sampling(0.0, 31, logit_bias={word: 1e4})
    for model, prefill, channel in (
        (plain, None, Channel.ANSWER),
        (plain, plain.encode(["<think>"]), Channel.TRACE),
        (opened, None, Channel.TRACE),
    ):
        drawn = model.generate(model.encode_prompts(["12 + 7?"]), cut, np.arange(1), prefill=prefill)
        assert drawn.channel.tolist() == [channel] * 31


def test_the_style_of_prompts_tells_templates_and_system_messages_apart(folder: Path) -> None:
    other = tiny.TEMPLATE.replace("<|im_end|>", "</s>")
    plain, same = (Pretrained(str(folder), device="cpu").open() for _ in range(2))
    brief = Pretrained(str(folder), device="cpu", system="Be brief.").open()
    changed = Pretrained(str(folder), device="cpu", chat_template=other).open()
    assert plain.prompt_style == same.prompt_style == ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
    assert len({plain.prompt_style, brief.prompt_style, changed.prompt_style}) == 3


def test_a_response_ends_where_the_generation_configuration_says(folder: Path) -> None:
    model = Pretrained(str(folder), device="cpu").open()
    turn = int(model.encode(["So"]).values[0])
    model.model.generation_config.eos_token_id = [turn]
    sampling = Sampling(0.0, 8, logit_bias={turn: 1e4})
    drawn = model.generate(model.encode_prompts(["12 + 7?"]), sampling, np.arange(1))
    assert drawn.tokens[0].tolist() == [turn]
    assert drawn.finished.all()
    assert model.ends.tolist() == sorted([turn, model.tokenizer.eos_token_id])
    assert model.decode(model.encode(["12So"])) == ["12"]


def test_pinned_weights(folder: Path) -> None:
    pin = fingerprint(sorted(folder.glob("*.safetensors")))
    Pretrained(str(folder), revision=pin, device="cpu").open()
    with pytest.raises(ConfigError, match="revision"):
        Pretrained(str(folder), revision="sha256:0").open()
    with pytest.raises(ConfigError, match="revision"):
        Pretrained(str(folder), revision="main").open()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": ""}, "path"),
        ({"dtype": "float8"}, "dtype"),
        ({"batch_tokens": -1}, "batch_tokens"),
    ],
)
def test_values_that_cannot_be(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Pretrained(**{"path": "a/b", **change})  # type: ignore[arg-type]


def test_unknown_device(folder: Path) -> None:
    with pytest.raises(ConfigError, match="device"):
        Pretrained(str(folder), device="warp").open()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        Pretrained(str(tmp_path / "absent")).open()


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="pickled"):
        Pretrained(str(tmp_path)).checkpoint.model()


def test_broken_weights(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 100 if file.suffix == ".safetensors" else None])
    with pytest.raises(ConfigError, match="could not be loaded"):
        Pretrained(str(tmp_path)).checkpoint.model()


def test_no_chat_template(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chat_template"):
        Pretrained(str(tiny.save(tmp_path, template=False))).open()


def test_without_a_connection_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect")

    monkeypatch.setattr(lm.checkpoint.AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(ConfigError, match=r"hf download someone/model"):
        Pretrained("someone/model").open()
