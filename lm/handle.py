"""A model with what is known of it: what sampling (`lm.generate`) and scoring (`lm.score`) are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lm.decoder import Decoder, TorchDecoder
from lm.growing import GrowingDecoder, grows
from lm.mini.decoder import FusedDecoder, fits
from lm.sizes import positions_of
from lm.types import ResponseFormat


@dataclass(frozen=True)
class ModelHandle:
    """A model, its tokenizer and its response format.

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
    def ends(self) -> NDArray[np.int64]:
        """Ids at which a response ends; see `end_ids`."""
        return end_ids(self.tokenizer, self.model)

    @property
    def positions(self) -> int | None:
        """How many tokens a text may have, prompt and response together; None where the model sets no limit."""
        return positions_of(getattr(self.model, "config", None))

    @property
    def vocabulary(self) -> int:
        """Number of logits of a token."""
        return int(self.model.get_output_embeddings().weight.shape[-2])

    def decoder(self, contexts: Sequence[NDArray[np.int32]], pad: int, room: int) -> Decoder:
        """Opens a batch of texts that will grow.

        Args:
            contexts: none empty; in equal blocks where there are several members.
            pad: id of the padding token.
            room: most tokens that a text may grow by.
        """
        if fits(self.model):
            return FusedDecoder(self.model, contexts, room)
        if self.members == 1 and grows(self.model):
            return GrowingDecoder(self.model, contexts, pad)
        return TorchDecoder(self.model, contexts, pad, self.members)


def end_ids(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> NDArray[np.int64]:
    """Ids at which a response ends, ascending: the tokenizer's end of sequence, and the ends of a turn that the model's
    generation configuration names (chat models often have the latter there alone)."""
    config = getattr(model, "generation_config", None)
    given = [tokenizer.eos_token_id, getattr(config, "eos_token_id", None)]
    flat = [i for entry in given if entry is not None for i in (entry if isinstance(entry, list) else [entry])]
    return np.unique(np.asarray(flat, np.int64))
