"""A causal language model with its tokenizer and response format: the one handle through which the rest of the project
samples from and scores with any model, mini or Hugging Face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lm.generate import generate
from lm.handle import ModelHandle
from lm.ragged import Ragged
from lm.score import score
from lm.template import PromptStyle, prompt_style, rendered
from lm.timing import timed
from lm.types import Generations, Processor, Sampling, Scores, ToolRunner


@dataclass(frozen=True)
class LanguageModel(ModelHandle):
    """A model ready to be asked; see `ModelHandle` for its fields."""

    @property
    def vocab(self) -> tuple[str, ...]:
        """Token strings in id order: two models are compatible for token-level methods when these agree."""
        table = self.tokenizer.get_vocab()
        return tuple(sorted(table, key=table.__getitem__))

    @property
    def prompt_style(self) -> PromptStyle:
        """What the chat template writes around a user's words: two models read the same prompts where these are equal."""
        return prompt_style(self.tokenizer, self.system)

    def encode_prompts(self, prompts: Sequence[str]) -> Ragged:
        """Token ids of each prompt inside the chat template, up to where the assistant speaks."""
        return encoded_prompts(self.tokenizer, self.system, tuple(prompts))

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids of each text as it stands (no special tokens added)."""
        return _tokens(self.tokenizer, texts)

    def decode(self, tokens: Ragged) -> list[str]:
        """Text of each row without special tokens and without what ends a response; equal rows are decoded once."""
        rows = [tuple(row.tolist()) for row in tokens.keep(~np.isin(tokens.values, self.ends))]
        different = list(dict.fromkeys(rows))
        # of no texts, some versions of transformers make one that is empty
        shown = self.tokenizer.batch_decode(different, skip_special_tokens=True) if different else []
        texts = dict(zip(different, shown, strict=True))
        return [texts[row] for row in rows]

    @timed("generation")
    def generate(
        self,
        prompts: Ragged,
        sampling: Sampling,
        seeds: NDArray[np.int64],
        processors: Sequence[Processor] = (),
        tools: ToolRunner | None = None,
        prefill: Ragged | None = None,
        forced: Ragged | None = None,
    ) -> Generations:
        """Sample one response a prompt; see `lm.generate.generate`."""
        return generate(self, prompts, sampling, seeds, processors, tools, prefill, forced)

    @timed("scoring")
    def score(self, prompts: Ragged, completions: Ragged, top_k: int = 0) -> Scores:
        """Teacher-forced scores of the completions; see `lm.score.score`."""
        return score(self, prompts, completions, top_k)

    def with_batch_tokens(self) -> LanguageModel:
        """The same with as many tokens at once as fit, found by trying (`lm.room`)."""
        from lm.room import UNKNOWN, tokens_that_fit
        from lm.underway import unwatched

        trial, length = replace(self, batch_tokens=2 * UNKNOWN), 128
        ids = np.random.default_rng(0).integers(0, self.vocabulary, (32, length))  # no two rows begin alike

        def sampled(units: int) -> int:
            rows = Ragged.of(ids[: 8 * units])
            with unwatched():
                said = generate(trial, rows, Sampling(1.0, 2), np.arange(len(rows)))
            return len(rows.values) + len(said.tokens.values)

        return replace(self, batch_tokens=tokens_that_fit(sampled, self.device))

    def with_model(self, model: PreTrainedModel) -> LanguageModel:
        """The same handle on other weights."""
        return replace(self, model=model)


@lru_cache(maxsize=16)
def encoded_prompts(tokenizer: PreTrainedTokenizerBase, system: str, prompts: tuple[str, ...]) -> Ragged:
    """Token ids of each prompt, as `LanguageModel.encode_prompts` gives them.

    Cells of a sweep ask the same prompts again and again; filling in a chat template costs more than their answers.
    """
    return _tokens(tokenizer, rendered(tokenizer, system, prompts))


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Ragged:
    return Ragged.of(tokenizer(list(texts), add_special_tokens=False)["input_ids"]) if texts else Ragged.of([])
