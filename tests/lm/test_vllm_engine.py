"""The adapter against a stand-in for vLLM: an object with the signatures that vLLM documents, around a transformers model.
vLLM itself needs a GPU and has not been run here."""

from __future__ import annotations

import json
import sys
from abc import ABC
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import teacher.huggingface
from configs.errors import ConfigError
from defenses.base import Defense
from defenses.decoding.gumbel import Gumbel
from defenses.decoding.kgw import KGW, GreenProcessor
from defenses.decoding.temperature import Temperature
from defenses.release.mad import MAD
from defenses.release.trace_hidden import TraceHidden
from defenses.serving.doge import Doge
from lm.huggingface import Pretrained
from lm.language_model import LanguageModel
from lm.types import Sampling
from lm.vllm_engine import MOST_LOGPROBS, VLLMModel
from teacher.api.hooks import require_works_on_answers
from teacher.huggingface import HFTeacher
from tests.lm import tiny


@dataclass
class Params:
    """``vllm.SamplingParams``, as far as it is used."""

    temperature: float = 1.0
    max_tokens: int = 16
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    logit_bias: dict[int, float] | None = None
    seed: int | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    detokenize: bool = True
    extra_args: dict[str, Any] | None = None


@dataclass
class Logprob:
    logprob: float
    rank: int
    decoded_token: str | None = None


@dataclass
class Completion:
    token_ids: tuple[int, ...]
    logprobs: list[dict[int, Logprob]]
    finish_reason: str


@dataclass
class Output:
    outputs: list[Completion]
    prompt_logprobs: list[dict[int, Logprob] | None] | None


class Engine:
    """``vllm.LLM``: one text after the other, logprobs those of what is drawn from."""

    def __init__(self, lm: LanguageModel) -> None:
        self.model = lm.model
        self.own = own_processors()

    @torch.no_grad()
    def generate(
        self, prompts: list[dict[str, list[int]]], sampling_params: list[Params], *, use_tqdm: bool = True
    ) -> list[Output]:
        assert all(p.seed is None or 0 <= p.seed < 2**63 for p in sampling_params)
        return [self._one(p["prompt_token_ids"], s) for p, s in zip(prompts, sampling_params, strict=True)]

    def _one(self, prompt: list[int], params: Params) -> Output:
        text, told = list(prompt), []
        rng = torch.Generator().manual_seed(params.seed or 0)
        for _ in range(params.max_tokens):
            logits = self.model(torch.tensor([text])).logits[0, -1]
            for token, bias in (params.logit_bias or {}).items():
                logits[token] += bias
            self.own.update_state(update(added=[(0, params, prompt, text[len(prompt) :])]))
            logits = self.own.apply(logits[None])[0]
            p = (logits / (params.temperature or 1.0)).log_softmax(-1)
            token = int(p.argmax()) if params.temperature == 0 else int(p.exp().multinomial(1, generator=rng))
            text.append(token)
            told.append(_entry(p, token, params.logprobs or 0))
            if token in params.stop_token_ids:
                break
        stopped = text[-1] in params.stop_token_ids
        said = Completion(tuple(text[len(prompt):]), told, "stop" if stopped else "length")  # fmt: skip
        return Output([said], self._of_prompt(prompt, params.prompt_logprobs))

    def _of_prompt(self, prompt: list[int], k: int | None) -> list[dict[int, Logprob] | None] | None:
        if k is None:
            return None
        p = self.model(torch.tensor([prompt])).logits[0].log_softmax(-1)
        return [None, *(_entry(p[i], token, k) for i, token in enumerate(prompt[1:]))]


def own_processors() -> Any:
    """`lm.vllm_processors.OwnProcessors` as vLLM opens it, with a stand-in for vLLM's base class."""
    names = ("vllm", "vllm.v1", "vllm.v1.sample", "vllm.v1.sample.logits_processor")
    there = {name: ModuleType(name) for name in names}
    there[names[-1]].LogitsProcessor = ABC  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(there)
    try:
        kind = import_module("lm.vllm_processors").OwnProcessors
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return kind(None, torch.device("cpu"), False)


def update(removed: Any = (), added: Any = (), moved: Any = ()) -> SimpleNamespace:
    """``BatchUpdate``."""
    return SimpleNamespace(batch_size=8, removed=removed, added=added, moved=moved)


def _entry(p: torch.Tensor, token: int, k: int) -> dict[int, Logprob]:
    """The token that is there first, then the most probable, as vLLM does."""
    order = p.argsort(descending=True).tolist()
    return {t: Logprob(float(p[t]), order.index(t) + 1) for t in (token, *order[:k])}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[LanguageModel, VLLMModel]:
    plain = Pretrained(str(tiny.save(tmp_path_factory.mktemp("vllm"))), device="cpu").open()
    fields = (Engine(plain), plain.tokenizer, plain.format, plain.batch_tokens, plain.system)
    return plain, VLLMModel(*fields, params=Params, ended_by=tuple(plain.ends.tolist()), longest=plain.positions)


PROMPTS = ["What is 12 + 7?", "Hence?"]


def test_greedy_text_and_logprobs_are_those_of_transformers(both: tuple[LanguageModel, VLLMModel]) -> None:
    plain, engine = both
    prompts, prefill = plain.encode_prompts(PROMPTS), plain.encode(["So", "7 7"])
    asked = Sampling(0.0, 8, 3, {40: 2.0})
    theirs, ours = (lm.generate(prompts, asked, np.arange(2) - 5, prefill=prefill) for lm in both)
    assert np.array_equal(ours.tokens.values, theirs.tokens.values)
    assert np.array_equal(ours.channel, theirs.channel)
    assert np.array_equal(ours.finished, theirs.finished)
    np.testing.assert_allclose(ours.logprob, theirs.logprob, atol=1e-4)
    assert np.array_equal(ours.top_ids, theirs.top_ids)  # type: ignore[arg-type]
    np.testing.assert_allclose(ours.top_logprobs, theirs.top_logprobs, atol=1e-4)  # type: ignore[arg-type]
    assert engine.vocabulary == plain.vocabulary


def test_each_row_has_a_seed_and_a_temperature_of_its_own(both: tuple[LanguageModel, VLLMModel]) -> None:
    _, engine = both
    prompts = engine.encode_prompts([PROMPTS[0]] * 4)
    asked = Sampling(np.array([1.0, 1.0, 1.0, 0.0]), np.array([12, 12, 12, 3]))
    drawn = engine.generate(prompts, asked, np.array([5, 5, -6, 5]))
    rows = [row.tolist() for row in drawn.tokens]
    assert rows[0] == rows[1] != rows[2]
    assert len(rows[3]) <= 3


def test_given_texts_are_scored_as_transformers_does(both: tuple[LanguageModel, VLLMModel]) -> None:
    plain, _ = both
    prompts, said = plain.encode_prompts(PROMPTS), plain.encode(["So the total is 19.", "3"])
    theirs, ours = (lm.score(prompts, said, 2) for lm in both)
    np.testing.assert_allclose(ours.logprob, theirs.logprob, atol=1e-4)
    assert np.array_equal(ours.greedy, theirs.greedy)
    assert np.array_equal(ours.top_ids, theirs.top_ids)  # type: ignore[arg-type]
    assert np.isnan(ours.entropy).all()
    first, second = (lm.generate(prompts, Sampling(1.0, 8, 2), np.arange(2), forced=said) for lm in both)
    np.testing.assert_allclose(first.logprob, second.logprob, atol=1e-4)
    assert np.array_equal(first.top_ids, second.top_ids)  # type: ignore[arg-type]


def test_what_it_cannot_do_is_said_by_name(both: tuple[LanguageModel, VLLMModel]) -> None:
    _, engine = both
    prompts, seeds = engine.encode_prompts(PROMPTS), np.arange(2)
    said = engine.encode(["3", "4"])
    for refused in (
        lambda: engine.generate(prompts, Sampling(), seeds, [lambda ids, scores: scores]),
        lambda: engine.generate(prompts, Sampling(), seeds, [GreenProcessor(KGW(2.0), 5, 0)], forced=said),
        lambda: engine.generate(prompts, Sampling(1.0, 4, MOST_LOGPROBS + 1), seeds),
        lambda: engine.generate(prompts, Sampling(0.5, 4), seeds, forced=said),
        lambda: engine.generate(prompts, Sampling(1.0, 4), seeds, tools=lambda rows, texts: [[7] for _ in rows]),
        lambda: engine.score(prompts, said, MOST_LOGPROBS + 1),
        lambda: engine.decoder([], 0, 1),
    ):
        with pytest.raises(ConfigError, match="engine = 'vllm'"):
            refused()
    with pytest.raises(ConfigError, match="positions"):
        engine.generate(prompts, Sampling(1.0, 5000), seeds)


def test_a_watermark_acts_in_the_engine(both: tuple[LanguageModel, VLLMModel]) -> None:
    """As it does on transformers: greedily the very text."""
    prompts = both[0].encode_prompts(PROMPTS)
    marks = GreenProcessor(KGW(8.0), 5, both[0].tokenizer.eos_token_id)
    plain, theirs = (both[0].generate(prompts, Sampling(0.0, 8), np.arange(2), p) for p in ([], [marks]))
    ours = both[1].generate(prompts, Sampling(0.0, 8, 2), np.arange(2), [marks])
    assert np.array_equal(ours.tokens.values, theirs.tokens.values)
    assert not np.array_equal(ours.tokens.values, plain.tokens.values)
    np.testing.assert_allclose(ours.logprob, theirs.logprob, atol=1e-4)


def test_lines_of_the_engine_keep_their_processors() -> None:
    """Each row's distribution is the one that the processor gives of log p/τ, wherever the row moves."""
    own, marks = own_processors(), GreenProcessor(KGW(3.0), 5, -1)
    carried = {"moatbench": json.dumps([marks.for_engine()])}
    texts = {0: ([5, 6], [7]), 1: ([8], []), 2: ([9, 9], [4, 3])}
    params = {0: Params(0.7, extra_args=carried), 1: Params(1.0), 2: Params(0.0, extra_args=carried)}
    own.update_state(update(added=[(line, params[line], *texts[line]) for line in texts]))
    own.update_state(None)
    own.update_state(update(moved=[(0, 2, SimpleNamespace(name="SWAP"))]))
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    found = own.apply(logits.clone())
    for line, was in ((0, 2), (1, 1), (2, 0)):
        tau = params[was].temperature or 1.0
        scores = (logits[line] / tau).log_softmax(-1)[None]
        ids = torch.tensor([[*texts[was][0], *texts[was][1]]])
        wanted = scores if params[was].extra_args is None else marks(ids, scores)
        torch.testing.assert_close((found[line] / tau).softmax(-1), wanted[0].softmax(-1))
    own.update_state(update(removed=[2], moved=[(0, 1, SimpleNamespace(name="UNIDIRECTIONAL"))]))
    changed = (own.apply(logits.clone()) != logits).any(-1)
    assert changed.tolist() == [False, True, False]


def test_defenses_that_an_engine_would_leave_out_are_refused() -> None:
    require_works_on_answers({"trace_hidden": TraceHidden(0.5)}, "vllm")
    require_works_on_answers({"kgw": KGW(2.0)}, "vllm")
    for defense in (Temperature(1.5), Gumbel(), Doge(0.1), MAD(0.5)):
        with pytest.raises(ConfigError, match=r"defense\.mine.*vllm does not give"):
            require_works_on_answers({"mine": defense}, "vllm")


def test_a_defense_can_say_itself_that_it_works_on_answers() -> None:
    class Marks(Defense):
        name, version = "marks", 1
        works_on_answers = True

        def serve(self, serving):  # type: ignore[no-untyped-def]
            return replace(serving.teacher, system="Be brief.")

    require_works_on_answers({"marks": Marks()}, "vllm")


def test_a_teacher_is_opened_by_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(tiny.save(tmp_path))
    with pytest.raises(ConfigError, match="engine = 'vllm': needs the package vllm: pip install vllm"):
        HFTeacher(folder, engine="vllm")
    with pytest.raises(ConfigError, match="choices: transformers, vllm"):
        HFTeacher(folder, engine="llm")
    monkeypatch.setattr(teacher.huggingface, "needs", lambda *given, **more: None)
    opened: list[Any] = []
    monkeypatch.setattr("lm.vllm_engine.open_engine", lambda *given: (opened.append(given), (None, Params))[1])
    lm = HFTeacher(folder, dtype="bfloat16", engine="vllm").load(None, {}, 0)  # type: ignore[arg-type]
    assert opened == [(folder, "", "bfloat16", "", 2048)]
    assert lm.ends.tolist() == [lm.tokenizer.eos_token_id]
    assert lm.positions == 2048
    with pytest.raises(ConfigError, match=r"convert the \.gguf file"):
        HFTeacher("model.gguf", engine="vllm")
