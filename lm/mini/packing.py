"""Training rows laid end to end: no padding within a member, some at its end where several members are stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm.batch import Batch
from lm.examples import Examples


@dataclass(frozen=True)
class Packed:
    """One step's rows of G members, N tokens each at most.

    Args:
        input_GN: int64 token ids; a row is its prompt and completion without the last token.
        start, length: (R,) int64 where each row of any member lies in the flattened G·N tokens.
        position_N: (G·N,) int64 place of each token in its row; 0 on padding.
        learnt_GM: int64 places, in the flattened tokens, of those whose following token is learnt; padded with the member's
            first place.
        batch: their targets, as a batch of G rows of M; weight 0 on padding.
    """

    input_GN: Tensor
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    position_N: NDArray[np.int64]
    learnt_GM: Tensor
    batch: Batch


def pack(members: Sequence[Examples], pad: int, device: torch.device) -> Packed:
    """Lay the rows of each member end to end.

    Args:
        members: one step's rows of each, at least one token learnt in each.
        pad: id of the padding token.
        device: where the model is.
    """
    parts = [_flat(rows) for rows in members]
    width = max(len(p.tokens) for p in parts)
    most = max(len(p.learnt) for p in parts)
    shift = np.arange(len(parts)) * width
    position = np.zeros((len(parts), width), np.int64)
    tokens = np.full((len(parts), width), pad, np.int64)
    learnt = np.repeat(shift[:, None], most, 1)
    target, weight = np.full((len(parts), most), pad, np.int64), np.zeros((len(parts), most), np.float32)
    channel = np.zeros((len(parts), most), np.uint8)
    k = max(0 if m.top_ids is None else m.top_ids.shape[1] for m in members)
    ids = np.full((len(parts), most, k), -1, np.int64)
    logprobs = np.full((len(parts), most, k), -np.inf, np.float32)
    for g, (part, rows) in enumerate(zip(parts, members, strict=True)):
        n, m = len(part.tokens), len(part.learnt)
        tokens[g, :n], position[g, :n] = part.tokens, part.position
        learnt[g, :m] += part.learnt
        target[g, :m] = rows.completions.values[part.value]
        weight[g, :m], channel[g, :m] = rows.weight[part.value], rows.channel[part.value]
        if rows.top_ids is not None and rows.top_logprobs is not None:
            ids[g, :m, : rows.top_ids.shape[1]] = rows.top_ids[part.value]
            logprobs[g, :m, : rows.top_ids.shape[1]] = rows.top_logprobs[part.value]

    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)

    learnt_GM = tensor(learnt)
    batch = Batch(
        input_BT=tensor(np.take_along_axis(tokens, learnt - shift[:, None], 1)),
        target_BT=tensor(target),
        weight_BT=tensor(weight),
        channel_BT=tensor(channel),
        mask_BT=torch.ones_like(learnt_GM),
        top_ids_BTK=tensor(ids) if k else None,
        top_logprobs_BTK=tensor(logprobs) if k else None,
    )
    start = np.concatenate([part.start + at for part, at in zip(parts, shift, strict=True)])
    length = np.concatenate([part.length for part in parts])
    return Packed(tensor(tokens), start, length, position.reshape(-1), learnt_GM, batch)


@dataclass(frozen=True)
class _Flat:
    """One member: tokens and positions (n,), rows, places of learnt targets (m,) and the completion values they predict."""

    tokens: NDArray[np.int32]
    position: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    learnt: NDArray[np.int64]
    value: NDArray[np.int64]


def _flat(rows: Examples) -> _Flat:
    before, after = rows.prompts.lengths, rows.completions.lengths
    length = before + after - 1
    start = np.cumsum(length) - length
    tokens = np.zeros(int(length.sum()) + 1, np.int32)  # the last place takes the last tokens, which are not inputs
    tokens[start[rows.prompts.row_of_value] + rows.prompts.position] = rows.prompts.values
    row = rows.completions.row_of_value
    place = start[row] + before[row] + rows.completions.position
    inside = rows.completions.position < after[row] - 1
    tokens[np.where(inside, place, len(tokens) - 1)] = rows.completions.values
    value = np.flatnonzero(rows.weight)
    position = np.arange(len(tokens) - 1) - np.repeat(start, length)
    return _Flat(tokens[:-1], position, start, length, place[value] - 1, value)
