"""Sampling from any transformers causal language model, in batches, with logits processors and tools.

One uniform number a row and step decides a token by inverse CDF, and row r's numbers come from its own counter-based
stream (Philox keyed by ``seeds[r]``): what a row draws does not depend on the batch it happens to be in, and the same
seeds under two defenses are coupled. Knows nothing of teachers, defenses or tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm.batch_keep import BatchKeep
from lm.batches import LOGITS_PER_BATCH, length_batches
from lm.draw import draw, drawn_as_processed, drawn_as_served, normalised, scored, serve
from lm.handle import ModelHandle
from lm.passes import DECODE, by_others, reading
from lm.ragged import Ragged
from lm.randomness import uniforms
from lm.rows import DrawnBatch, Row, Step, Tops, collect, drawn_in, left_padded, store
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
    forced: Ragged | None = None,
) -> Generations:
    """Sample one response to each of R prompts.

    Per step: ``logit_bias`` is added to the logits, the temperature τ divides them, they are normalised, and the
    processors are called in order as ``p(input_ids, scores)`` with ``scores`` = log p(·)/τ normalised; what they return
    is normalised again and sampled from. At temperature 0 the processors see log p(·) at τ = 1 and the largest score is
    taken. A processor sees ``input_ids`` (B, T) left-padded with the prompts; within a batch T grows by one a call and
    rows stay where they are, and a new batch begins with another, unrelated ``input_ids``.

    One processor may choose the tokens itself: where it has a method ``draw`` (`lm.types.Processor`), that is given the
    scores after all processors and the tokens drawn from them, and what it returns is said in their place. What the tokens
    are scored by stays as it is; greedy rows and forced ones are not its to choose.

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
        forced: R rows, none empty, that are said whatever is likely: what is returned scores them under the very
            distributions that would have been drawn from. ``max_tokens`` and ``tools`` then do not matter.

    Returns:
        R generations in the order of the prompts.

    Raises:
        ConfigError: a prompt and ``max_tokens`` together are longer than the model's texts can be.
        ValueError: ``seeds`` or ``prefill`` do not match the prompts, a context is empty, or two processors choose tokens.
    """
    if len(seeds) != len(prompts) or (prefill is not None and len(prefill) != len(prompts)):
        raise ValueError(f"{len(prompts)} prompts need as many seeds and prefills")
    rows = [Row(row if prefill is None else np.concatenate([row, prefill[r]])) for r, row in enumerate(prompts)]
    if any(len(row.context) == 0 for row in rows):
        raise ValueError("a prompt is empty: there is nothing to condition on")
    if sum(hasattr(processor, "draw") for processor in processors) > 1:
        raise ValueError("two processors choose the tokens themselves, and only one can")
    if forced is not None:
        if len(forced) != len(prompts) or not forced.lengths.all():
            raise ValueError(f"{len(prompts)} prompts need as many responses to score, none empty")
        sampling, tools = replace(sampling, max_tokens=forced.lengths), None
    most_R = np.broadcast_to(np.asarray(sampling.max_tokens), (len(rows),))
    stops = _Stops.of(lm, with_tools=tools is not None)
    active, keep = list(range(len(rows))), BatchKeep(lm, len(rows))
    while active:
        asked = _evened(active, len(rows), lm.members)
        most = most_R[asked]
        filler = [Row(rows[0].context[:1], drawn=int(m) - 1) for m in most[asked < 0]]
        waiting = [rows[r] if r >= 0 else filler.pop(0) for r in asked]
        lengths = np.array([len(row.context) - row.drawn for row in waiting]) + most
        require_room(lm.positions, lengths - most, most)
        most_rows = max(1, LOGITS_PER_BATCH // lm.vocabulary)
        for part in length_batches(lengths, lm.batch_tokens, lm.members, most_rows):
            here = asked[part]
            told = None if forced is None else [forced[r] for r in here]
            batch = _Batch([waiting[i] for i in part], here, sampling.of(here), seeds[here], told)
            run = partial(_run_batch, lm, batch, processors, stops, keep)
            made = keep.drawn([*(row.context for row in batch.rows), *(told or ())], batch.seeds, batch.sampling, run)
            store(batch.rows, made, sampling.top_logprobs > 0)
        active = [] if tools is None else _ask_tools(rows, active, most_R, sampling.top_logprobs, stops, tools)
    return collect(rows, lm.format, sampling.top_logprobs, stops.end, prefill)


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


class _Batch(NamedTuple):
    """Rows that go through the model together.

    Args:
        rows: n in the making.
        number: (n,) which of all rows they are, -1 for those that fill up a block.
        sampling: theirs.
        seeds: (n,).
        forced: what each has to say, where that is given.
    """

    rows: Sequence[Row]
    number: NDArray[np.int64]
    sampling: Sampling
    seeds: NDArray[np.int64]
    forced: Sequence[NDArray[np.int32]] | None


def _run_batch(
    lm: ModelHandle, batch: _Batch, processors: Sequence[Processor], stops: _Stops, keep: BatchKeep
) -> DrawnBatch:
    """Extend each row until it ends, calls a tool or is full."""
    rows, sampling = batch.rows, batch.sampling
    device, n = lm.device, len(rows)
    left = np.broadcast_to(np.asarray(sampling.max_tokens), (n,)) - [r.drawn for r in rows]
    uniform = uniforms(batch.seeds, np.array([r.drawn for r in rows]), int(left.max()))
    pad = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else int(stops.end[0])
    contexts = [r.context for r in rows]
    decoder = lm.decoder(contexts, pad, int(left.max()))
    ids = left_padded(contexts, pad, device)[0] if processors else None
    for processor in processors:
        if hasattr(processor, "begin"):
            with by_others(DECODE):
                processor.begin(batch.number)
    stop_ids, bias = (
        torch.from_numpy(np.union1d(stops.end, stops.call)).to(device),
        _bias(sampling, lm.vocabulary, device),
    )
    temperature = sampling.temperature
    tau_n1 = (
        None if np.ndim(temperature) == 0 else torch.from_numpy(np.asarray(temperature, np.float32)).to(device)[:, None]
    )
    told = None if batch.forced is None else _padded(batch.forced, device)
    choose = next((p.draw for p in processors if hasattr(p, "draw")), None)
    lines = np.arange(n)  # rows that still grow
    length = np.zeros(n, np.int64)
    steps: list[Step] = []
    scores_nV = None  # what processors are given, in one place for all steps
    with reading(lm.model, n, sum(map(len, contexts))):
        logits_bV, t = decoder.start(), 0
    while True:
        here = torch.from_numpy(lines).to(device)
        tau = float(temperature) if tau_n1 is None else tau_n1[here]
        bias_bV = None if bias is None else bias.expand(len(lines), -1) if bias.ndim == 1 else bias[here]
        uniform_b = torch.from_numpy(uniform[lines, t]).to(device)
        told_b = None if told is None else told[here, t]
        if ids is None:
            step = drawn_as_served(logits_bV, tau, bias_bV, uniform_b, told_b, sampling.top_logprobs)
        else:
            if scores_nV is None:
                scores_nV = torch.empty(n, logits_bV.shape[1], device=device)
            serve(logits_bV, tau, bias_bV, scores_nV, here)
            all_nV = _processed(scores_nV, lines, ids, processors)
            if told_b is not None or choose is None:
                step = drawn_as_processed(all_nV, here, tau, uniform_b, told_b, sampling.top_logprobs)
            else:
                scores_bV = normalised(all_nV, here)
                with by_others(DECODE, len(lines) / n):
                    chosen_b = _chosen(scores_bV, tau, uniform_b, here, ids, choose)
                step = scored(scores_bV, chosen_b, sampling.top_logprobs)
        token_b = step.token_b
        steps.append(Step(lines, *step))
        t += 1
        length[lines] = t
        keep.step(len(lines), n)
        grows = left[lines] > t
        if told is None:
            grows &= ~torch.isin(token_b, stop_ids).cpu().numpy()
        lines, token_b = lines[grows], token_b[torch.from_numpy(grows).to(device)]
        if not len(lines):
            break
        if ids is not None:
            fed = torch.full((n, 1), pad, dtype=torch.int64, device=device)
            fed[torch.from_numpy(lines).to(device), 0] = token_b
            ids = torch.cat([ids, fed], 1)
        with reading(lm.model, len(lines), len(lines)):
            logits_bV = decoder.next(lines, token_b)
    return drawn_in(steps, length, sampling.top_logprobs > 0)


def _padded(rows: Sequence[NDArray[np.int32]], device: torch.device) -> Tensor:
    """(n, T) int64, zeros at the right."""
    whole = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for line, row in zip(whole, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(whole).to(device)


def _processed(scores_nV: Tensor, lines: NDArray[np.int64], ids_BT: Tensor, processors: Sequence[Processor]) -> Tensor:
    """What processors make of the scores of the whole batch, of which the growing rows are filled in; rows that have ended
    are uniform. Those that want to know which rows have ended are told, and read the others alone."""
    n, vocabulary = scores_nV.shape
    if len(lines) < n:
        scores_nV[np.setdiff1d(np.arange(n), lines)] = -math.log(vocabulary)
    for processor in processors:
        if hasattr(processor, "step"):
            processor.step(lines)
            share = 1.0
        else:
            share = len(lines) / n
        with by_others(DECODE, share):
            scores_nV = processor(ids_BT, scores_nV)
    return scores_nV


def _of_batch(scores_bV: Tensor, here: Tensor, n: int) -> Tensor:
    """(n, V) the growing rows' log-probabilities in their places; rows that have ended are uniform."""
    all_nV = torch.full((n, scores_bV.shape[1]), -math.log(scores_bV.shape[1]), device=scores_bV.device)
    all_nV[here] = scores_bV
    return all_nV


def _chosen(
    scores_bV: Tensor,
    tau: float | Tensor,
    uniform_b: Tensor,
    here: Tensor,
    ids_BT: Tensor,
    choose: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """Tokens (b,): those drawn, and in rows that are not greedy what a processor chooses in their place."""
    token_b = draw(scores_bV, tau, uniform_b)
    if isinstance(tau, float) and tau == 0:
        return token_b
    drawn_B = torch.zeros(len(ids_BT), dtype=token_b.dtype, device=token_b.device)
    drawn_B[here] = token_b
    chosen_b = choose(ids_BT, _of_batch(scores_bV, here, len(ids_BT)), drawn_B)[here]
    return chosen_b if isinstance(tau, float) else torch.where(tau[:, 0] == 0, token_b, chosen_b)


def _bias(sampling: Sampling, vocabulary: int, device: torch.device) -> Tensor | None:
    """(V,) of all rows, or (n, V)."""
    asked = sampling.logit_bias
    if not asked or (not isinstance(asked, Mapping) and not any(asked)):
        return None
    if isinstance(asked, Mapping):
        return _bias_of([asked], vocabulary)[0].to(device)
    return _bias_of(asked, vocabulary).to(device)


def _bias_of(rows: Sequence[Mapping[int, float]], vocabulary: int) -> Tensor:
    bias = torch.zeros(len(rows), vocabulary)
    for line, row in zip(bias, rows, strict=True):
        line[list(row)] = torch.tensor(list(row.values()), dtype=bias.dtype)
    return bias


def _ask_tools(
    rows: Sequence[Row], active: Sequence[int], most_R: NDArray[np.integer], k: int, stops: _Stops, tools: ToolRunner
) -> list[int]:
    """Append tool results; returns the rows that go on."""
    calling = [r for r in active if rows[r].drawn < most_R[r] and rows[r].tokens[-1][-1] in stops.call]
    if not calling:
        return []
    results = tools(np.asarray(calling, np.int64), [np.concatenate(rows[r].tokens) for r in calling])
    ongoing = []
    for r, result in zip(calling, results, strict=True):
        n = len(result)
        missing = Tops(np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)) if k else None
        if n:
            rows[r].add(np.asarray(result, np.int32), np.zeros(n, np.float32), missing, tool=True)
        if n or rows[r].tokens[-1][-1] not in stops.end:
            ongoing.append(r)
    return ongoing
