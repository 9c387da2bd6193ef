"""Responses in the making: the bookkeeping of `lm.generate`, apart from the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm.ragged import Ragged
from lm.types import Channel, Generations, ResponseFormat


class Step(NamedTuple):
    """One step of a batch: which rows its B lines are, and what was drawn."""

    rows: NDArray[np.int64]
    token_B: Tensor
    logprob_B: Tensor
    top_ids_BK: Tensor
    top_logprobs_BK: Tensor


@dataclass
class Row:
    """One response in the making: its pieces in order, tool results among them."""

    context: NDArray[np.int32]
    tokens: list[NDArray[np.int32]] = field(default_factory=list)
    logprob: list[NDArray[np.float32]] = field(default_factory=list)
    from_tool: list[NDArray[np.bool_]] = field(default_factory=list)
    top_ids: list[NDArray[np.int32]] = field(default_factory=list)
    top_logprobs: list[NDArray[np.float32]] = field(default_factory=list)
    drawn: int = 0

    def add(self, tokens: NDArray[np.int32], logprob: NDArray[np.float32], tops: Tops | None, tool: bool) -> None:
        """Append drawn tokens, or a tool's result, which does not count as drawn."""
        self.context = np.concatenate([self.context, tokens])
        self.tokens.append(tokens)
        self.logprob.append(logprob)
        self.from_tool.append(np.full(len(tokens), tool))
        if tops is not None:
            self.top_ids.append(tops.ids)
            self.top_logprobs.append(tops.logprobs)
        self.drawn += 0 if tool else len(tokens)


class Tops(NamedTuple):
    """The k largest log-probabilities of T tokens, (T, k) each."""

    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]


def left_padded(contexts: Sequence[NDArray[np.int32]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (B, T) int64, padded on the left."""
    width = max(len(c) for c in contexts)
    ids = np.full((len(contexts), width), pad, np.int64)
    mask = np.zeros_like(ids)
    for i, context in enumerate(contexts):
        ids[i, width - len(context) :] = context
        mask[i, width - len(context) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


class DrawnBatch(NamedTuple):
    """What a batch of n rows drew in t steps: tokens and log-probabilities (n, t), the k largest of each step (n, t, k), and
    how many tokens are each row's own, (n,)."""

    tokens: NDArray[np.int32]
    logprob: NDArray[np.float32]
    top_ids: NDArray[np.int32]
    top_logprobs: NDArray[np.float32]
    length: NDArray[np.int64]


def drawn_in(steps: Sequence[Step], length: NDArray[np.int64], with_tops: bool) -> DrawnBatch:
    """The steps of a batch side by side; ``length`` (n,) as in `DrawnBatch`."""
    n, t, k = len(length), len(steps), steps[0].top_ids_BK.shape[1]
    tokens, logprob = np.zeros((n, t), np.int32), np.zeros((n, t), np.float32)
    ids, tops = np.zeros((n, t, k), np.int32), np.zeros((n, t, k), np.float32)
    for i, (here, token_B, drawn_B, ids_BK, tops_BK) in enumerate(steps):
        tokens[here, i], logprob[here, i] = token_B.cpu().numpy(), drawn_B.cpu().numpy()
        if with_tops:
            ids[here, i], tops[here, i] = ids_BK.cpu().numpy(), tops_BK.cpu().numpy()
    return DrawnBatch(tokens, logprob, ids, tops, length)


def store(rows: Sequence[Row], drawn: DrawnBatch, with_tops: bool) -> None:
    """Write what a batch drew back to its rows."""
    for r, row in enumerate(rows):
        end = int(drawn.length[r])
        part = Tops(drawn.top_ids[r, :end], drawn.top_logprobs[r, :end]) if with_tops else None
        row.add(drawn.tokens[r, :end], drawn.logprob[r, :end], part, tool=False)


def collect(
    rows: Sequence[Row],
    form: ResponseFormat,
    k: int,
    end: NDArray[np.int64],
    prefill: Ragged | None = None,
) -> Generations:
    """All rows as one columnar record; ``k`` top logprobs a token, ``end`` the ids that end a sequence, ``prefill`` what
    each response goes on from."""

    def flat(pieces: list[list[NDArray[Any]]], empty: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([empty, *(piece for row in pieces for piece in row)])

    values = flat([r.tokens for r in rows], np.zeros(0, np.int32))
    tokens = Ragged.with_lengths(values, np.array([sum(map(len, r.tokens)) for r in rows], np.int64))
    from_tool = flat([r.from_tool for r in rows], np.zeros(0, np.bool_))
    said = form.channels(tokens) if prefill is None else form.channels_after(prefill, tokens)
    channel = np.where(from_tool, np.uint8(Channel.TOOL), said)
    return Generations(
        tokens,
        channel.astype(np.uint8),
        flat([r.logprob for r in rows], np.zeros(0, np.float32)),
        np.array([bool(r.tokens[-1][-1] in end) for r in rows], np.bool_),
        flat([r.top_ids for r in rows], np.zeros((0, k), np.int32)) if k else None,
        flat([r.top_logprobs for r in rows], np.zeros((0, k), np.float32)) if k else None,
    )
