"""Teacher-forced scores of given completions under any transformers causal language model."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import log_softmax

from lm.batches import LOGITS_PER_BATCH, length_batches
from lm.handle import ModelHandle
from lm.ragged import Ragged
from lm.sizes import require_room
from lm.types import Scores


@torch.no_grad()
def score(lm: ModelHandle, prompts: Ragged, completions: Ragged, top_k: int = 0) -> Scores:
    """Log-probability, argmax agreement and entropy of every completion token at temperature 1.

    Args:
        lm: the model; one, not several (`LanguageModel.members`).
        prompts: R rows of prompt tokens, none empty.
        completions: R rows of the tokens to score, aligned with the prompts; rows may be empty.
        top_k: how many of the largest log-probabilities to return per token (0: none).

    Returns:
        Scores aligned with ``completions.values``.

    Raises:
        ConfigError: a row is longer than the model's texts can be.
        ValueError: rows do not match or a prompt is empty.
    """
    if len(prompts) != len(completions):
        raise ValueError(f"{len(prompts)} prompts, {len(completions)} completions")
    if len(prompts) and prompts.lengths.min() == 0:
        raise ValueError("a prompt is empty: its first completion token has no context")
    require_room(lm.positions, prompts.lengths, completions.lengths, "completions")
    n, k = len(completions.values), min(top_k, lm.vocabulary)
    out = Scores(
        np.zeros(n, np.float32),
        np.zeros(n, np.bool_),
        np.zeros(n, np.float32),
        np.zeros((n, k), np.int32) if k else None,
        np.zeros((n, k), np.float32) if k else None,
    )
    most = max(1, min(lm.batch_tokens, LOGITS_PER_BATCH // lm.vocabulary))
    for rows in length_batches(prompts.lengths + completions.lengths, most):
        _score_batch(lm, prompts, completions, rows, k, out)
    return out


def _score_batch(
    lm: ModelHandle, prompts: Ragged, completions: Ragged, rows: NDArray[np.int64], k: int, out: Scores
) -> None:
    """Fill ``out`` for the given rows with one right-padded forward pass."""
    given, asked = prompts.take(rows), completions.take(rows)
    if len(asked.values) == 0:
        return
    total = given.lengths + asked.lengths
    width, shortest = int(total.max()), int(given.lengths.min())
    pad = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else 0
    ids = np.full((len(rows), width), pad, np.int64)
    ids[given.row_of_value, given.position] = given.values
    column = asked.position + given.lengths[asked.row_of_value]
    ids[asked.row_of_value, column] = asked.values
    mask = (np.arange(width) < total[:, None]).astype(np.int64)
    inputs: dict[str, Any] = {
        "input_ids": torch.from_numpy(ids).to(lm.device),
        "attention_mask": torch.from_numpy(mask).to(lm.device),
        "use_cache": False,
    }
    first = 0  # column of the first logits kept
    if "logits_to_keep" in inspect.signature(lm.model.forward).parameters:
        first = shortest - 1
        inputs["logits_to_keep"] = width - first
    logits_BTV = lm.model(**inputs).logits
    at = torch.from_numpy(asked.row_of_value).to(lm.device), torch.from_numpy(column - 1 - first).to(lm.device)
    logprobs_NV = log_softmax(logits_BTV[at].float(), dim=-1)
    token_N = torch.from_numpy(asked.values.astype(np.int64)).to(lm.device)
    where = completions.value_index(rows)
    out.logprob[where] = logprobs_NV.gather(1, token_N[:, None])[:, 0].cpu().numpy()
    out.greedy[where] = (logprobs_NV.argmax(-1) == token_N).cpu().numpy()
    out.entropy[where] = torch.special.entr(logprobs_NV.exp()).sum(-1).cpu().numpy()
    if out.top_ids is not None and out.top_logprobs is not None:
        top = torch.topk(logprobs_NV, k)
        out.top_ids[where], out.top_logprobs[where] = top.indices.cpu().numpy(), top.values.cpu().numpy()
