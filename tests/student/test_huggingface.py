import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

import student.huggingface
from configs.errors import ConfigError
from lm.examples import Examples
from lm.language_model import LanguageModel
from student.huggingface import HFRecipe, HFStudent
from student.objectives.sft import SFT
from tasks.base import Task
from tests.lm import tiny

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"))


def quiet(done: int, total: int, note: str = "") -> None:
    pass


def rows(lm: LanguageModel) -> Examples:
    prompts = lm.encode_prompts(["What is 12 + 7?", "Hence?"])
    completions = lm.encode(["So the total is 19.\nAnswer: 19<|im_end|>", "Answer: 3<|im_end|>"])
    channel = lm.format.channels(completions)
    return Examples(prompts, completions, channel, np.ones(len(channel), np.float32), np.arange(2), np.zeros(2, bool))


def fitted(folder: Path, training: str, **fields: object) -> tuple[HFStudent, LanguageModel, LanguageModel]:
    recipe = HFRecipe(steps=15, batch_size=2, lr=0.02, training=training, rank=4, alpha=8)
    spec = HFStudent(str(folder), device="cpu", recipe=recipe, **fields)  # type: ignore[arg-type]
    task: Task = Task  # type: ignore[assignment]
    base = spec.load(task, spec.train(task, 1, quiet), 1)
    weights, losses = spec.fit(base, rows(base), SFT(), 2, quiet)
    again = spec.fit(base, rows(base), SFT(), 2, quiet).weights
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert len(losses) == recipe.steps
    assert losses[-1] < losses[0]
    return spec, base, spec.load(task, load(save(weights)), 1)


@pytest.mark.parametrize("training", ["lora", "full"])
def test_learns_and_leaves_the_base_alone(folder: Path, training: str) -> None:
    spec, base, student = fitted(folder, training)
    examples = rows(base)
    before = base.score(examples.prompts, examples.completions).logprob.mean()
    fresh = spec.load(Task, {}, 1)  # type: ignore[arg-type]
    assert fresh.score(examples.prompts, examples.completions).logprob.mean() == before
    assert all(p.requires_grad for p in base.model.parameters())
    assert student.score(examples.prompts, examples.completions).logprob.mean() > before + 1
    assert type(student.model) is type(base.model)


def logprobs(lm: LanguageModel) -> np.ndarray:
    examples = rows(lm)
    return lm.score(examples.prompts, examples.completions).logprob


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What each fit's model says of the rows right after training, before anything is stored."""
    found: list[np.ndarray] = []
    train = student.huggingface.fit

    def watched(*arguments: object) -> object:
        trained = train(*arguments)  # type: ignore[arg-type]
        found.append(logprobs(trained.lm))
        return trained

    monkeypatch.setattr(student.huggingface, "fit", watched)
    return found


@pytest.mark.parametrize("training", ["lora", "full"])
@pytest.mark.parametrize("changed", [False, True], ids=["as loaded", "a changed copy"])
def test_fits_in_a_row_are_stored_whole(
    folder: Path, training: str, changed: bool, in_memory: list[np.ndarray]
) -> None:
    recipe = HFRecipe(steps=3, batch_size=2, lr=0.01, training=training, rank=4, alpha=8)
    spec = HFStudent(str(folder), device="cpu", recipe=recipe)
    task: Task = Task  # type: ignore[assignment]
    lm = spec.load(task, {}, 1)
    for seed in range(3):
        if changed and seed:
            lm = lm.with_model(copy.deepcopy(lm.model))
            with torch.no_grad():
                lm.model.get_input_embeddings().weight.mul_(1.2)
        before = logprobs(lm)
        weights = spec.fit(lm, rows(lm), SFT(), seed, quiet).weights
        np.testing.assert_array_equal(logprobs(lm), before, "the start is left as it was")
        lm = spec.load(task, load(save(weights)), 1)
        np.testing.assert_allclose(logprobs(lm), in_memory[-1], atol=2e-5)
        assert np.abs(logprobs(lm) - before).max() > 0.05
    adapter = training == "lora" and not changed
    assert all("lora_" in name for name in weights) == adapter, "an adapter stays one where it can"


def test_an_adapter_is_small(folder: Path) -> None:
    spec = HFStudent(str(folder), device="cpu", recipe=HFRecipe(steps=1, batch_size=1, rank=1))
    base = spec.load(Task, {}, 0)  # type: ignore[arg-type]
    weights = spec.fit(base, rows(base), SFT(), 0, quiet).weights
    assert sum(w.numel() for w in weights.values()) < 0.1 * sum(p.numel() for p in base.model.parameters())


def test_from_scratch_follows_the_seed(folder: Path) -> None:
    spec, base, student = fitted(folder, "full", from_scratch=SMALL)
    task: Task = Task  # type: ignore[assignment]
    first, same, other = (spec.train(task, seed, quiet) for seed in (1, 1, 2))
    assert all(torch.equal(first[n], same[n]) for n in first)
    assert any(not torch.equal(first[n], other[n]) for n in first)
    assert base.model.config.hidden_size == 16
    examples = rows(base)
    gain = student.score(examples.prompts, examples.completions).logprob.mean()
    assert gain > base.score(examples.prompts, examples.completions).logprob.mean()


@pytest.mark.parametrize("training", ["lora", "full"])
def test_a_shallower_student_learns_and_is_stored_whole(folder: Path, training: str) -> None:
    spec, base, student = fitted(folder, training, layers=1)
    assert len(base.model.model.layers) == len(student.model.model.layers) == 1
    assert spec.memory(Task) >= sum(p.numel() for p in base.model.parameters()) * 4  # type: ignore[arg-type]
    gain = logprobs(student).mean() - logprobs(base).mean()
    assert gain > 1
    whole = HFStudent(str(folder), recipe=spec.recipe)
    assert {spec.origin, spec.label} & {whole.origin, whole.label} == set()
    assert spec.base_config() != whole.base_config()


def test_a_shallower_student_weighs_less(folder: Path) -> None:
    few = HFRecipe(training="full", batch_size=1, micro_tokens=1)
    whole, less = (
        HFStudent(str(folder), recipe=few, batch_tokens=1, layers=layers).memory(Task)  # type: ignore[arg-type]
        for layers in (0, 1)
    )
    layer = sum(p.numel() for p in HFStudent(str(folder)).load(Task, {}, 0).model.model.layers[1].parameters())  # type: ignore[arg-type]
    assert whole - less >= 4 * 4 * layer, "weights, gradients and two moments of the layer that is left out"


def test_no_layers_means_what_there_was_before_they_could_be_chosen(folder: Path) -> None:
    assert "layers" not in HFStudent(str(folder)).base_config()["fields"]


def test_base_configuration_leaves_the_fit_out(folder: Path) -> None:
    one = HFStudent(str(folder), recipe=HFRecipe(steps=1))
    two = HFStudent(str(folder), recipe=HFRecipe(steps=2, rank=8))
    assert one.base_config() == two.base_config()


def test_values_that_cannot_be(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.training"):
        HFRecipe(training="half")
    with pytest.raises(ConfigError, match="from scratch"):
        HFStudent(str(folder), from_scratch=SMALL)
    with pytest.raises(ConfigError, match="none to keep"):
        HFStudent(str(folder), from_scratch=SMALL, layers=1, recipe=HFRecipe(training="full"))
    with pytest.raises(ConfigError, match="which is 2"):
        HFStudent(str(folder), layers=3).load(Task, {}, 0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="hidden_sizes"):
        HFStudent(str(folder), from_scratch={"hidden_sizes": 3}, recipe=HFRecipe(training="full")).train(
            Task,  # type: ignore[arg-type]
            0,
            quiet,
        )
