"""A causal language model with its tokenizer and response format: the one handle through which the rest of the project
samples from and scores with any model, mini or Hugging Face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lm.decoder import Decoder, TorchDecoder
from lm.generate import generate
from lm.mini.decoder import FusedDecoder, fits
from lm.ragged import Ragged
from lm.score import score
from lm.sizes import positions_of
from lm.template import PromptStyle, prompt_style, rendered
from lm.timing import timed
from lm.types import Generations, Processor, ResponseFormat, Sampling, Scores, ToolRunner


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

    @property
    def prompt_style(self) -> PromptStyle:
        """What the chat template writes around a user's words: two models read the same prompts where these are equal."""
        return prompt_style(self.tokenizer, self.system)

    @property
    def ends(self) -> NDArray[np.int64]:
        """Ids at which a response ends; see `end_ids`."""
        return end_ids(self.tokenizer, self.model)

    @property
    def positions(self) -> int | None:
        """How many tokens a text may have, prompt and response together; None where the model sets no limit."""
        return positions_of(getattr(self.model, "config", None))

    def encode_prompts(self, prompts: Sequence[str]) -> Ragged:
        """Token ids of each prompt inside the chat template, up to where the assistant speaks."""
        return encoded_prompts(self.tokenizer, self.system, tuple(prompts))

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids of each text as it stands (no special tokens added)."""
        return _tokens(self.tokenizer, texts)

    def decode(self, tokens: Ragged) -> list[str]:
        """Text of each row without special tokens and without what ends a response."""
        shown = tokens.keep(~np.isin(tokens.values, self.ends))
        texts: list[str] = self.tokenizer.batch_decode([row.tolist() for row in shown], skip_special_tokens=True)
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

    @property
    def vocabulary(self) -> int:
        """Number of logits of a token."""
        return int(self.model.get_output_embeddings().weight.shape[-2])

    def with_model(self, model: PreTrainedModel) -> LanguageModel:
        """The same handle on other weights."""
        return replace(self, model=model)


def end_ids(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> NDArray[np.int64]:
    """Ids at which a response ends, ascending: the tokenizer's end of sequence, and the ends of a turn that the model's
    generation configuration names (chat models often have the latter there alone)."""
    config = getattr(model, "generation_config", None)
    given = [tokenizer.eos_token_id, getattr(config, "eos_token_id", None)]
    flat = [i for entry in given if entry is not None for i in (entry if isinstance(entry, list) else [entry])]
    return np.unique(np.asarray(flat, np.int64))


@lru_cache(maxsize=16)
def encoded_prompts(tokenizer: PreTrainedTokenizerBase, system: str, prompts: tuple[str, ...]) -> Ragged:
    """Token ids of each prompt, as `LanguageModel.encode_prompts` gives them.

    Cells of a sweep ask the same prompts again and again; filling in a chat template costs more than their answers.
    """
    return _tokens(tokenizer, rendered(tokenizer, system, prompts))


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Ragged:
    return Ragged.of(tokenizer(list(texts), add_special_tokens=False)["input_ids"]) if texts else Ragged.of([])
