"""Mini language models and their training rows from plain words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from lm.examples import Examples
from lm.language_model import LanguageModel
from lm.mini.configuration import MiniConfig
from lm.mini.format import MiniFormat
from lm.mini.modeling import MiniForCausalLM
from lm.mini.size import VOCABULARY
from lm.mini.tokenizer import build_tokenizer
from lm.model_spec import Weights
from lm.ragged import Ragged
from lm.types import Channel
from tasks.mini.words import (
    CALL,
    CALL_CLOSE,
    DIGITS,
    FUNCTIONS,
    JOIN,
    LIST_FUNCTIONS,
    MARK,
    SEPARATORS,
    TOOLS,
    WORDS,
)

KINDS = (DIGITS, FUNCTIONS, tuple(LIST_FUNCTIONS), tuple(TOOLS), tuple(column for column, _ in TOOLS.values()))
"""Words that can stand in for each other."""


def best_device() -> torch.device:
    """A CUDA device where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fresh_model(width: int, layers: int, heads: int, seed: int) -> MiniForCausalLM:
    """An untrained model of the mini world's vocabulary; its weights are drawn on the CPU, so that they are the same on any
    device."""
    config = MiniConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = MiniForCausalLM(config).initialize(torch.Generator().manual_seed(seed % 2**63))
    model.to(best_device())
    model.eval()
    return model


def mini_language_model(model: MiniForCausalLM) -> LanguageModel:
    """The model with the mini world's tokenizer and response format."""
    tokenizer = build_tokenizer(WORDS)
    form = MiniFormat(tokenizer, KINDS, DIGITS, SEPARATORS, (CALL, CALL_CLOSE), MARK, JOIN)
    return LanguageModel(model, tokenizer, form)


def weights_of(lm: LanguageModel) -> Weights:
    """The model's weights on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in lm.model.state_dict().items()}


@lru_cache(maxsize=1)
def _table() -> dict[str, int]:
    table: dict[str, int] = build_tokenizer(WORDS).get_vocab()
    return table


def word_examples(
    lm: LanguageModel, prompts: Sequence[str], responses: Sequence[str], state_weight: float = 1.0
) -> Examples:
    """Training rows that end with the end of sequence; tool results weigh 0.

    Args:
        lm: any model of the mini world (for its format).
        prompts: B prompts in words, as users send them.
        responses: B responses in words.
        state_weight: loss weight of the states that follow a separator; other tokens weigh 1. Weighing a token that could
            be another one (a restated state) would make it more likely, these cannot be another.
    """
    ids, bos, eos = _table(), lm.tokenizer.bos_token_id, lm.tokenizer.eos_token_id
    bodies = Ragged.of([[*(ids[word] for word in text.split()), eos] for text in responses])
    channel = lm.format.channels(bodies)
    weight = np.where(channel == Channel.TOOL, 0.0, 1.0)
    weight[lm.format.summary(bodies, channel)] = state_weight
    return Examples(
        Ragged.of([[bos, *(ids[word] for word in text.split())] for text in prompts]),
        bodies,
        channel,
        weight.astype(np.float32),
        np.full(len(bodies), -1, np.int64),
        np.zeros(len(bodies), np.bool_),
    )
