"""A causal language model with its tokenizer and response format: the one handle through which the rest of the project
samples from and scores with any model, mini or Hugging Face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessor, PreTrainedModel, PreTrainedTokenizerBase

from lm.decoder import Decoder, TorchDecoder
from lm.generate import generate
from lm.mini.decoder import FusedDecoder, fits
from lm.ragged import Ragged
from lm.score import score
from lm.timing import timed
from lm.types import Generations, ResponseFormat, Sampling, Scores, ToolRunner


@dataclass(frozen=True)
class LanguageModel:
    """A model ready to be asked.

    Args:
        model: any transformers causal language model.
        tokenizer: its tokenizer, with a chat template.
        format: how its responses separate working, calls and answer.
        batch_tokens: tokens (rows x length) processed at once when generating or scoring.
        system: system message put before every prompt, "" for none.
        members: how many models this is: prompts then come in that many equal blocks, one a member, and the answers too.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    format: ResponseFormat
    batch_tokens: int = 65_536
    system: str = ""
    members: int = 1

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def vocab(self) -> tuple[str, ...]:
        """Token strings in id order: two models are compatible for token-level methods when these agree."""
        table = self.tokenizer.get_vocab()
        return tuple(sorted(table, key=table.__getitem__))

    def encode_prompts(self, prompts: Sequence[str]) -> Ragged:
        """Token ids of each prompt inside the chat template, up to where the assistant speaks."""
        return _encoded(self.tokenizer, self.system, tuple(prompts))

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids of each text as it stands (no special tokens added)."""
        return _tokens(self.tokenizer, texts)

    def decode(self, tokens: Ragged) -> list[str]:
        """Text of each row without special tokens."""
        texts: list[str] = self.tokenizer.batch_decode([row.tolist() for row in tokens], skip_special_tokens=True)
        return texts

    def decoder(self, contexts: Sequence[NDArray[np.int32]], pad: int, room: int) -> Decoder:
        """Opens a batch of texts that will grow.

        Args:
            contexts: none empty; in equal blocks where there are several members.
            pad: id of the padding token.
            room: most tokens that a text may grow by.
        """
        if fits(self.model):
            return FusedDecoder(self.model, contexts, room)
        return TorchDecoder(self.model, contexts, pad, self.members)

    @timed("generation")
    def generate(
        self,
        prompts: Ragged,
        sampling: Sampling,
        seeds: NDArray[np.int64],
        processors: Sequence[LogitsProcessor] = (),
        tools: ToolRunner | None = None,
        prefill: Ragged | None = None,
    ) -> Generations:
        """Sample one response a prompt; see `lm.generate.generate`."""
        return generate(self, prompts, sampling, seeds, processors, tools, prefill)

    @timed("scoring")
    def score(self, prompts: Ragged, completions: Ragged, top_k: int = 0) -> Scores:
        """Teacher-forced scores of the completions; see `lm.score.score`."""
        return score(self, prompts, completions, top_k)

    @property
    def vocabulary(self) -> int:
        """Number of logits of a token."""
        return int(self.model.get_output_embeddings().weight.shape[-2])

    def with_model(self, model: PreTrainedModel) -> LanguageModel:
        """The same handle on other weights."""
        return replace(self, model=model)


@lru_cache(maxsize=16)
def _encoded(tokenizer: PreTrainedTokenizerBase, system: str, prompts: tuple[str, ...]) -> Ragged:
    """Cells of a sweep ask the same prompts again and again; filling in a chat template costs more than their answers."""
    head: list[dict[str, str]] = [{"role": "system", "content": system}] if system else []
    chats: list[Any] = [[*head, {"role": "user", "content": p}] for p in prompts]
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in chats]
    return _tokens(tokenizer, texts)


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Ragged:
    return Ragged.of(tokenizer(list(texts), add_special_tokens=False)["input_ids"]) if texts else Ragged.of([])
