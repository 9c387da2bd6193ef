"""Sampling from any transformers causal language model, in batches, with logits processors and tools.

One uniform number a row and step decides a token by inverse CDF, and row r's numbers come from its own counter-based
stream (Philox keyed by ``seeds[r]``): what a row draws does not depend on the batch it happens to be in, and the same
seeds under two defenses are coupled. Knows nothing of teachers, defenses or tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from lm.batches import LOGITS_PER_BATCH, length_batches
from lm.handle import ModelHandle
from lm.ragged import Ragged
from lm.randomness import uniforms
from lm.rows import Row, Step, Tops, collect, left_padded, store
from lm.sizes import require_room
from lm.types import Generations, Processor, Sampling, ToolRunner


@torch.no_grad()
def generate(
    lm: ModelHandle,
    prompts: Ragged,
    sampling: Sampling,
    seeds: NDArray[np.int64],
    processors: Sequence[Processor] = (),
    tools: ToolRunner | None = None,
    prefill: Ragged | None = None,
) -> Generations:
    """Sample one response to each of R prompts.

    Per step: ``logit_bias`` is added to the logits, the temperature τ divides them, they are normalised, and the
    processors are called in order as ``p(input_ids, scores)`` with ``scores`` = log p(·)/τ normalised; what they return
    is normalised again and sampled from. At temperature 0 the processors see log p(·) at τ = 1 and the largest score is
    taken. A processor sees ``input_ids`` (B, T) left-padded with the prompts; within a batch T grows by one a call and
    rows stay where they are, and a new batch begins with another, unrelated ``input_ids``.

    Tools: the runner is asked where a row has just produced a token of ``lm.format.call_end_ids`` (or, for a format
    without that attribute, the end of sequence). A result it returns is appended, does not count towards
    ``max_tokens``, and the row goes on.

    Args:
        lm: the model.
        prompts: R rows of prompt tokens, none empty; in equal blocks where the model has several members.
        sampling: temperature, length and logprobs.
        seeds: (R,) one seed a row, any int64.
        processors: logits processors of the defenses, in order.
        tools: the caller's tool runner; its ``rows`` are indices into ``prompts``.
        prefill: R rows put at the start of each response as context; not part of what is returned.

    Returns:
        R generations in the order of the prompts.

    Raises:
        ConfigError: a prompt and ``max_tokens`` together are longer than the model's texts can be.
        ValueError: ``seeds`` or ``prefill`` do not match the prompts, or a context is empty.
    """
    if len(seeds) != len(prompts) or (prefill is not None and len(prefill) != len(prompts)):
        raise ValueError(f"{len(prompts)} prompts need as many seeds and prefills")
    rows = [Row(row if prefill is None else np.concatenate([row, prefill[r]])) for r, row in enumerate(prompts)]
    if any(len(row.context) == 0 for row in rows):
        raise ValueError("a prompt is empty: there is nothing to condition on")
    stops = _Stops.of(lm, with_tools=tools is not None)
    forwards = 0
    active = list(range(len(rows)))
    while active:
        asked = _evened(active, len(rows), lm.members)
        filler = Row(rows[0].context[:1], drawn=sampling.max_tokens - 1)
        waiting = [rows[r] if r >= 0 else replace(filler) for r in asked]
        lengths = np.array([len(row.context) + sampling.max_tokens - row.drawn for row in waiting])
        require_room(lm.positions, lengths - sampling.max_tokens, np.full_like(lengths, sampling.max_tokens))
        most_rows = max(1, LOGITS_PER_BATCH // lm.vocabulary)
        for part in length_batches(lengths, lm.batch_tokens, lm.members, most_rows):
            forwards += _run_batch(lm, [waiting[i] for i in part], sampling, seeds[asked[part]], processors, stops)
        active = [] if tools is None else _ask_tools(rows, active, sampling, stops, tools)
    return collect(rows, lm.format, sampling.top_logprobs, stops.end, forwards, prefill)


def _evened(active: Sequence[int], rows: int, members: int) -> NDArray[np.int64]:
    """The active rows in as many equal blocks as there are members, filled up with -1."""
    blocks = [[r for r in active if r * members // rows == m] for m in range(members)]
    most = max(len(block) for block in blocks)
    return np.array([r for block in blocks for r in (*block, *[-1] * (most - len(block)))], np.int64)


class _Stops(NamedTuple):
    """Tokens at which a row ends, and tokens at which the tool runner is asked."""

    end: NDArray[np.int64]
    call: NDArray[np.int64]

    @classmethod
    def of(cls, lm: ModelHandle, with_tools: bool) -> _Stops:
        end = lm.ends
        call = np.asarray(getattr(lm.format, "call_end_ids", ()), np.int64) if with_tools else end[:0]
        return cls(end, end if with_tools and not len(call) else call)


def _run_batch(
    lm: ModelHandle,
    rows: Sequence[Row],
    sampling: Sampling,
    seeds: NDArray[np.int64],
    processors: Sequence[Processor],
    stops: _Stops,
) -> int:
    """Extend each row until it ends, calls a tool or is full; returns the number of forward passes."""
    device, n = lm.device, len(rows)
    left = np.array([sampling.max_tokens - r.drawn for r in rows])
    uniform = uniforms(seeds, np.array([r.drawn for r in rows]), int(left.max()))
    pad = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else int(stops.end[0])
    contexts = [r.context for r in rows]
    decoder = lm.decoder(contexts, pad, int(left.max()))
    ids = left_padded(contexts, pad, device)[0] if processors else None
    stop_ids, bias = torch.from_numpy(np.union1d(stops.end, stops.call)).to(device), _bias(sampling, lm, device)
    lines = np.arange(n)  # rows that still grow
    length = np.zeros(n, np.int64)
    steps: list[Step] = []
    logits_bV, t = decoder.start(), 0
    while True:
        scores_bV = _served(logits_bV, sampling, bias)
        if ids is not None:
            scores_bV = _processed(scores_bV, lines, ids, processors)
        token_b = _draw(scores_bV, sampling.temperature, torch.from_numpy(uniform[lines, t]).to(device))
        drawn_b = scores_bV.gather(1, token_b[:, None])[:, 0]
        top = torch.topk(scores_bV, min(sampling.top_logprobs, scores_bV.shape[1]))
        steps.append(Step(lines, token_b, drawn_b, top.indices, top.values))
        t += 1
        length[lines] = t
        grows = ~torch.isin(token_b, stop_ids).cpu().numpy() & (left[lines] > t)
        lines, token_b = lines[grows], token_b[torch.from_numpy(grows).to(device)]
        if not len(lines):
            break
        if ids is not None:
            fed = torch.full((n, 1), pad, dtype=torch.int64, device=device)
            fed[torch.from_numpy(lines).to(device), 0] = token_b
            ids = torch.cat([ids, fed], 1)
        logits_bV = decoder.next(lines, token_b)
    store(rows, steps, length, sampling.top_logprobs > 0)
    return t


def _served(logits_bV: Tensor, sampling: Sampling, bias_V: Tensor | None) -> Tensor:
    """Log-probabilities (b, V) before processors."""
    if bias_V is not None:
        logits_bV = logits_bV + bias_V
    return log_softmax(logits_bV / (sampling.temperature or 1.0), dim=-1)


def _processed(scores_bV: Tensor, lines: NDArray[np.int64], ids_BT: Tensor, processors: Sequence[Processor]) -> Tensor:
    """Log-probabilities (b, V) that the growing rows are drawn from. The processors see the whole batch; rows that have
    ended are uniform there."""
    here = torch.from_numpy(lines).to(scores_bV.device)
    all_BV = torch.full((len(ids_BT), scores_bV.shape[1]), -math.log(scores_bV.shape[1]), device=scores_bV.device)
    all_BV[here] = scores_bV
    for processor in processors:
        all_BV = processor(ids_BT, all_BV)
    return log_softmax(all_BV[here].float(), dim=-1)


def _draw(logprobs_BV: Tensor, temperature: float, uniform_B: Tensor) -> Tensor:
    """Token ids (B,): the largest at temperature 0, else the first whose cumulative probability exceeds the uniform."""
    if temperature == 0:
        return logprobs_BV.argmax(-1)
    cdf_BV = logprobs_BV.double().exp().cumsum(-1)
    level_B1 = uniform_B.clamp_max(1 - 1e-12)[:, None] * cdf_BV[:, -1:]
    return torch.searchsorted(cdf_BV, level_B1, right=True)[:, 0]


def _bias(sampling: Sampling, lm: ModelHandle, device: torch.device) -> Tensor | None:
    if not sampling.logit_bias:
        return None
    bias = torch.zeros(lm.vocabulary, device=device)
    for token, value in sampling.logit_bias.items():
        bias[token] = value
    return bias


def _ask_tools(
    rows: Sequence[Row], active: Sequence[int], sampling: Sampling, stops: _Stops, tools: ToolRunner
) -> list[int]:
    """Append tool results; returns the rows that go on."""
    calling = [r for r in active if rows[r].drawn < sampling.max_tokens and rows[r].tokens[-1][-1] in stops.call]
    if not calling:
        return []
    results = tools(np.asarray(calling, np.int64), [np.concatenate(rows[r].tokens) for r in calling])
    ongoing = []
    for r, result in zip(calling, results, strict=True):
        n, k = len(result), sampling.top_logprobs
        missing = Tops(np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)) if k else None
        if n:
            rows[r].add(np.asarray(result, np.int32), np.zeros(n, np.float32), missing, tool=True)
        if n or rows[r].tokens[-1][-1] not in stops.end:
            ongoing.append(r)
    return ongoing
