"""Whether a model, its tokenizer and what is asked of it fit each other, compared before an index runs out of a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from configs.errors import require
from lm.loaded import token_ids


def positions_of(config: PreTrainedConfig | None) -> int | None:
    """How many tokens a text may have, prompt and response together; None where the configuration sets no limit."""
    if config is None:
        return None
    stated = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    return stated if isinstance(stated, int) and stated > 0 else None


def require_room(
    positions: int | None, prompts: NDArray[np.int64], responses: NDArray[np.int64], field: str = "max_tokens"
) -> None:
    """Refuse texts that are longer than the model was made for, which some models do not notice.

    Args:
        positions: of the model, None for no limit.
        prompts: (R,) tokens of each prompt.
        responses: (R,) tokens of each response, at most.
        field: of the configuration that says how long responses are.

    Raises:
        ConfigError: naming the longest text and what there is.
    """
    if positions is None or not len(prompts):
        return
    longest = int((prompts + responses).argmax())
    prompt, response = int(prompts[longest]), int(responses[longest])
    reason = f"after a prompt of {prompt} tokens makes {prompt + response}, and the model has {positions} positions"
    require(prompt + response <= positions, field, response, reason)


def require_tokens(tokenizer: PreTrainedTokenizerBase, rows: int | None, path: str) -> None:
    """Refuse a tokenizer with ids that the model has no embedding of.

    Args:
        tokenizer: of the model.
        rows: of the model's table of embeddings, None where that is not known.
        path: of both.

    Raises:
        ConfigError: naming both numbers.
    """
    ids = token_ids(tokenizer)
    reason = f"its tokenizer has {ids} tokens, and its model {rows} rows of embeddings: resize the model first"
    require(rows is None or ids <= rows, "path", path, reason)
