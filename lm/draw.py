"""From logits to tokens: one uniform number a row decides by inverse CDF. Knows neither models nor texts.

Of a large vocabulary few rows are taken at a time: what is made of their logits then stays in the processor's caches, where
whole batches would be written to memory and read again five times (300 rows of 49,152 take 45 ms so, and 118 at once).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

BLOCK = 64
"""Tokens of a large vocabulary that are drawn from at once."""
BELOW_ONE = 1 - 1e-12
AT_ONCE = 2**21
"""Logits (rows x vocabulary) that a CPU takes at a time."""


class DrawnTokens(NamedTuple):
    """What b rows drew: tokens and their log-probabilities (b,), and the k largest of each row (b, k)."""

    token_b: Tensor
    logprob_b: Tensor
    top_ids_bk: Tensor
    top_logprobs_bk: Tensor


def serve(logits_bV: Tensor, tau: float | Tensor, bias_bV: Tensor | None, scores_nV: Tensor, here_b: Tensor) -> None:
    """Write log-probabilities, before processors, into some rows of a float32 table.

    Args:
        logits_bV: of those rows.
        tau: one temperature, or (b, 1).
        bias_bV: added to the logits.
        scores_nV: the table.
        here_b: the rows.
    """
    for logits, at, hot, bias in _few(logits_bV.shape[1], logits_bV, here_b, tau, bias_bV):
        scores_nV[at] = _served(logits, hot, bias)


def draw(scores_bV: Tensor, tau: float | Tensor, uniform_b: Tensor) -> Tensor:
    """Token ids (b,): the largest at temperature 0, else the first whose cumulative probability exceeds the uniform."""
    return torch.cat([_draw(*part) for part in _few(scores_bV.shape[1], scores_bV, tau, uniform_b)])


def normalised(scores_nV: Tensor, here_b: Tensor) -> Tensor:
    """Log-probabilities (b, V) in float32 of some rows of what processors made."""
    return torch.cat([_normalised(scores_nV[at]) for (at,) in _few(scores_nV.shape[1], here_b)])


def drawn_as_processed(
    scores_nV: Tensor, here_b: Tensor, tau: float | Tensor, uniform_b: Tensor, told_b: Tensor | None, k: int
) -> DrawnTokens:
    """Tokens drawn from `normalised` scores, or those told, with what they are scored by; ``k`` as in `DrawnTokens`, at most
    V."""
    parts = _few(scores_nV.shape[1], here_b, tau, uniform_b, told_b)
    return _joined([_drawn(_normalised(scores_nV[at]), hot, level, told, k) for at, hot, level, told in parts])


def drawn_as_served(
    logits_bV: Tensor, tau: float | Tensor, bias_bV: Tensor | None, uniform_b: Tensor, told_b: Tensor | None, k: int
) -> DrawnTokens:
    """The same from logits that no processor changes."""
    parts = _few(logits_bV.shape[1], logits_bV, tau, bias_bV, uniform_b, told_b)
    return _joined([_drawn(_served(x, hot, bias), hot, level, told, k) for x, hot, bias, level, told in parts])


def _few(vocabulary: int, first: Tensor, *given: Any) -> Iterator[tuple[Any, ...]]:
    """Few rows at a time of tensors that have as many; what is no tensor goes with each."""
    few = max(1, AT_ONCE // vocabulary) if first.device.type == "cpu" else max(1, len(first))
    parts = ((x.split(few) if isinstance(x, Tensor) else repeat(x)) for x in given)
    return zip(first.split(few), *parts, strict=False)


def _joined(parts: Sequence[DrawnTokens]) -> DrawnTokens:
    return parts[0] if len(parts) == 1 else DrawnTokens(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _served(logits_bV: Tensor, tau: float | Tensor, bias_bV: Tensor | None) -> Tensor:
    logits_bV = logits_bV.float()
    if bias_bV is not None:
        logits_bV = logits_bV + bias_bV
    if isinstance(tau, Tensor):
        logits_bV = logits_bV / torch.where(tau > 0, tau, 1.0)
    elif tau not in (0.0, 1.0):
        logits_bV = logits_bV / tau
    return log_softmax(logits_bV, dim=-1)


def _drawn(scores_bV: Tensor, tau: float | Tensor, uniform_b: Tensor, told_b: Tensor | None, k: int) -> DrawnTokens:
    return scored(scores_bV, _draw(scores_bV, tau, uniform_b) if told_b is None else told_b, k)


def scored(scores_bV: Tensor, token_b: Tensor, k: int) -> DrawnTokens:
    """Tokens (b,) that others drew, with what they are scored by; ``k`` as in `DrawnTokens`, at most V."""
    top = torch.topk(scores_bV, min(k, scores_bV.shape[1]))
    return DrawnTokens(token_b, scores_bV.gather(1, token_b[:, None])[:, 0], top.indices, top.values)


def _normalised(scores_bV: Tensor) -> Tensor:
    return log_softmax(scores_bV.float(), dim=-1)


def _draw(logprobs_bV: Tensor, tau: float | Tensor, uniform_b: Tensor) -> Tensor:
    if isinstance(tau, float) and tau == 0:
        return logprobs_bV.argmax(-1)
    at_level = one_by_one if logprobs_bV.shape[-1] < 2 * BLOCK * BLOCK else by_blocks
    drawn_b = at_level(logprobs_bV, uniform_b.clamp_max(BELOW_ONE)[:, None])
    return drawn_b if isinstance(tau, float) else torch.where(tau[:, 0] == 0, logprobs_bV.argmax(-1), drawn_b)


def one_by_one(logprobs_bV: Tensor, uniform_b1: Tensor) -> Tensor:
    """The first token (b,) whose cumulative probability exceeds the uniform."""
    cdf_bV = logprobs_bV.double().exp().cumsum(-1)
    return torch.searchsorted(cdf_bV, uniform_b1 * cdf_bV[:, -1:], right=True)[:, 0]


def by_blocks(logprobs_bV: Tensor, uniform_b1: Tensor) -> Tensor:
    """The same for a large vocabulary: first the block of `BLOCK` tokens, then the token in it, so that only sums of blocks
    are added up in double precision. Of 49,152 tokens that takes a third of the time, and a token that differs is drawn
    about once in ten million times."""
    lines, v = logprobs_bV.shape
    p_bV = torch.nn.functional.pad(logprobs_bV.exp(), (0, -v % BLOCK))
    p_bNK = p_bV.view(lines, -1, BLOCK)
    sum_bN = p_bNK.sum(-1).double()
    cdf_bN = sum_bN.cumsum(-1)
    level_b1 = uniform_b1 * cdf_bN[:, -1:]
    block_b1 = torch.searchsorted(cdf_bN, level_b1, right=True)
    within_b1 = (level_b1 - cdf_bN.gather(1, block_b1) + sum_bN.gather(1, block_b1)) / sum_bN.gather(1, block_b1)
    inner_bK = p_bNK[torch.arange(lines, device=p_bV.device), block_b1[:, 0]].double().cumsum(-1)
    at_b1 = torch.searchsorted(inner_bK, within_b1.clamp(0, BELOW_ONE) * inner_bK[:, -1:], right=True)
    return (block_b1 * BLOCK + at_b1)[:, 0]
