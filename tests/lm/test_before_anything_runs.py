"""What is refused of a pretrained model before anything runs, or else when it is loaded."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from configs.errors import ConfigError
from experiments.cli import main
from lm.checkpoint import Checkpoint
from lm.huggingface import Pretrained
from lm.types import Sampling
from student.huggingface import HFRecipe, HFStudent
from student.objectives.sft import SFT
from tasks.base import Item, Task, Verdict
from teacher.huggingface import HFTeacher
from tests.lm import architectures, tiny
from tests.student.test_huggingface import rows

NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + tiny.TEMPLATE
)


@dataclass(frozen=True)
class Questions(Task):
    """One family, of which the last prompt is the longest."""

    name: ClassVar[str] = "questions"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "test"
    families: ClassVar[tuple[str, ...]] = ("all",)

    def items(self, split: Any, family: str, n: int, seed: int) -> list[Item]:
        return [Item(f"{split}{i}", family, 1, "What is 12 + 7?" + " 7" * i, "19") for i in range(n)]

    def size(self, split: Any, family: str) -> int:
        return 10 if split == "train" else 0

    def verify(self, item: Item, response: str) -> Verdict:
        return Verdict(False, False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("whole"), positions=96)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def both_ways(folder: Path, said: str, **fields: Any) -> None:
    """The same is said before anything runs and on loading."""
    spec = HFTeacher(str(folder), device="cpu", **fields)
    with pytest.raises(ConfigError, match=said):
        spec.check(Questions(), 8)
    with pytest.raises(ConfigError, match=said):
        spec.open()


def test_a_model_in_order_passes(whole: Path) -> None:
    """Its head is tied to its embeddings and has no tensor of its own."""
    HFTeacher(str(whole)).check(Questions(), 8)
    HFTeacher(str(whole), system="Be brief.").check(Questions(), 8)


def test_tensors_that_are_missing_are_named(folder: Path) -> None:
    mlp = [f"model.layers.1.mlp.{name}_proj.weight" for name in ("down", "gate", "up")]
    tiny.change_tensors(folder, dict.fromkeys(mlp))
    both_ways(folder, ", ".join(f"{name} is missing" for name in mlp).replace(".", r"\."))


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    names = [n for n in AutoModelForCausalLM.from_pretrained(folder).state_dict() if "layers" in n]
    tiny.change_tensors(folder, dict.fromkeys(names))
    both_ways(folder, f"and {len(names) - 4} more")


def test_tensors_of_another_shape_are_named(folder: Path) -> None:
    tiny.change_tensors(folder, {"model.norm.weight": torch.ones(31)})
    both_ways(folder, r"model\.norm\.weight is \[31\], not \[32\]")


def test_a_missing_file_of_weights_in_several(tmp_path: Path) -> None:
    folder = architectures.save(tmp_path, "llama", architectures.DRESSINGS["whole"])
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 2
    files[1].unlink()
    both_ways(folder, f"could not be loaded.*{files[1].name}")


def test_tensors_are_compared_without_reading_them(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[Any] = []
    load: Callable[..., Any] = AutoModelForCausalLM.from_pretrained

    def watched(*given: Any, **named: Any) -> Any:
        devices.append(named["device_map"])
        return load(*given, **named)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", watched)
    Checkpoint(str(whole)).check_tensors()
    assert devices == ["meta"]


def test_a_base_from_scratch_needs_no_whole_weights(folder: Path) -> None:
    tiny.change_tensors(folder, {"model.norm.weight": None})
    spec = HFStudent(str(folder), from_scratch={"num_hidden_layers": 1}, recipe=HFRecipe(training="full"))
    spec.check(Questions(), 8)
    with pytest.raises(ConfigError, match="is no entry"):
        replace(spec, from_scratch={"layers": 1}).check(Questions(), 8)


@pytest.mark.parametrize("shape", [{"num_key_value_heads": 3}, {"num_attention_heads": 0}])
def test_a_base_from_scratch_of_a_shape_that_cannot_be(whole: Path, shape: dict[str, int]) -> None:
    HFStudent(str(whole), from_scratch={"hidden_size": 16}, recipe=HFRecipe(training="full")).check(Questions(), 8)
    with pytest.raises(ConfigError, match=f"from_scratch = .*{next(iter(shape))}.*no model has this shape"):
        HFStudent(str(whole), from_scratch=shape, recipe=HFRecipe(training="full")).check(Questions(), 8)


def test_a_template_that_refuses_a_system_message(folder: Path) -> None:
    tiny.change_template(folder, NO_SYSTEM)
    HFTeacher(str(folder)).check(Questions(), 8)
    both_ways(
        folder, "system = 'Be brief.': the chat template refuses it .System role not supported", system="Be brief."
    )


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('no') }}", "chat_template.*cannot be filled in: no"),
        ("{% for m in messages %}{{ m['content'] }}", "chat_template.*cannot be filled in"),
        ("{{ messages[0]['content'] + 3 }}", "chat_template.*cannot be filled in"),
        ("{% for m in messages %}{{ m['role'] }}{% endfor %}", "chat_template.*leaves out what the user says"),
    ],
)
def test_a_template_that_cannot_be_used(whole: Path, template: str, said: str) -> None:
    both_ways(whole, said, chat_template=template)
    both_ways(whole, said, chat_template=template, system="Be brief.")


def test_a_tokenizer_with_more_tokens_than_the_model(folder: Path) -> None:
    tokenizer = tiny.tokenizer()
    has = len(tokenizer)
    tokenizer.add_tokens(["<one>", "<two>"])
    tokenizer.save_pretrained(folder)
    both_ways(folder, f"{has + 2} tokens, and its model {has} rows")


def gpt2(folder: Path) -> Path:
    tokenizer = tiny.tokenizer()
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_positions=96, n_embd=16, n_layer=1, n_head=2)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_requests_longer_than_the_model(whole: Path, tmp_path: Path) -> None:
    """GPT-2 looks positions up in a table, Llama goes on past what it was trained for."""
    for folder in (whole, gpt2(tmp_path / "gpt2")):
        spec = HFTeacher(str(folder), device="cpu")
        lm = spec.open()
        prompts = lm.encode_prompts(["What is 12 + 7?", "What is 12 + 7?" + " 7" * 9])
        most = 96 - int(prompts.lengths.max())
        spec.check(Questions(), most)
        assert len(lm.generate(prompts, Sampling(0.0, most), np.arange(2)).tokens) == 2
        said = f"max_tokens = {most + 1}: after a prompt of {96 - most} tokens makes 97, and the model has 96 positions"
        with pytest.raises(ConfigError, match=said):
            spec.check(Questions(), most + 1)
        with pytest.raises(ConfigError, match=said):
            lm.generate(prompts, Sampling(0.0, most + 1), np.arange(2))
        with pytest.raises(ConfigError, match="makes 98"):
            lm.generate(prompts, Sampling(0.0, most), np.arange(2), prefill=lm.encode(["7 7", "77"]))


def test_rows_longer_than_the_student(whole: Path) -> None:
    spec = HFStudent(str(whole), device="cpu", recipe=HFRecipe(steps=1, training="full"))
    lm = spec.open()
    short = rows(lm)
    long = replace(short, prompts=lm.encode_prompts(["7 " * 90, "Hence?"]))
    for refused in (
        lambda: spec.fit(lm, long, SFT(), 0, lambda done, total, note="": None),
        lambda: lm.score(long.prompts, long.completions),
    ):
        with pytest.raises(ConfigError, match="the model has 96 positions"):
            refused()


def test_what_is_not_here_yet_is_left_to_loading() -> None:
    Pretrained("nobody/has-this-model").check(Questions(), 8)


def test_stored_weights_that_lack_one(whole: Path) -> None:
    spec = HFStudent(str(whole), device="cpu", recipe=HFRecipe(steps=1, batch_size=2, training="full"))
    lm = spec.open()
    weights = spec.fit(lm, rows(lm), SFT(), 0, lambda done, total, note="": None).weights
    spec.load(Questions(), weights, 0)
    weights.pop("model.norm.weight")
    with pytest.raises(ConfigError, match=r"another model.*model\.norm\.weight"):
        spec.load(Questions(), weights, 0)


def more_tokens(folder: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens(["<one>"])
    tokenizer.save_pretrained(folder)


UNUSABLE: dict[str, tuple[Callable[[Path], object], list[str], str, str]] = {
    "missing": (lambda f: tiny.change_tensors(f, {"model.norm.weight": None}), [], "PART.path", "norm.weight is missing"),
    "shape": (
        lambda f: tiny.change_tensors(f, {"model.norm.weight": torch.ones(31)}), [], "PART.path", "is [31], not [32]",
    ),
    "system": (
        lambda f: tiny.change_template(f, NO_SYSTEM), ["PART.system='Be brief.'"], "PART.system",
        "'Be brief.': the chat template refuses it",
    ),
    "template": (lambda f: tiny.change_template(f, "{{ 1 + 'a' }}"), [], "PART.chat_template", "cannot be filled in"),
    "tokens": (more_tokens, [], "PART.path", "tokens, and its model"),
    "long": (lambda f: None, ["max_tokens=90"], "max_tokens", "the model has 96 positions"),
    "task": (lambda f: None, ["task.question=ask"], "task.question", "is not a column"),
}  # fmt: skip
"""How a model is spoilt, what is asked for, the field that is named, and what is said of it."""


@pytest.mark.parametrize("part", ["teacher", "student"])
@pytest.mark.parametrize("name", UNUSABLE)
def test_a_cell_on_such_a_model_is_refused_in_one_line(
    folder: Path,
    tmp_path: Path,
    name: str,
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change, words, field, said = UNUSABLE[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    change(folder)
    other = tiny.save(tmp_path / "other")
    teacher, student = (folder, other) if part == "teacher" else (other, folder)
    lines = [{"question": f"What is {i} + 1?", "answer": f"{i} and one\n#### {i + 1}"} for i in range(60)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, lines)))
    given = ["task=dataset", "task.path=sums.jsonl", "task.config=", "task.heldout_split=", "task.template='{question}'",
             "teacher=hf", f"teacher.path={teacher}", "student=hf", f"student.path={student}",
             "student.recipe.training=full", "budget=lm", "budget.queries=8", "budget.data=8", "measure.heldout=4",
             "measure.harder=0", "max_tokens=16", *(word.replace("PART", part) for word in words)]  # fmt: skip
    capsys.readouterr()  # what saving models says
    assert main(["run", *given, "--workers", "0"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"moatbench: {field.replace('PART', part)} = ")
    assert said in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "results").exists()
