"""Compiled kernels for decoding; see `lm.mini.fused` for how they are written and `lm.mini.decoder` for what they do.

Keys are cached as (B, d, capacity), so that a query is compared with `LANES` of them at a time, values as (B, capacity, d).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lm.mini.fused import LANES, _add, _exp_less, _raise_to, _rotated, f32, kernel


@kernel
def squared_relu(x: Any) -> None:
    """x becomes max(x, 0)²; flat."""
    for i in range(len(x)):
        positive = max(x[i], f32(0))
        x[i] = positive * positive


@kernel
def last_inputs(x_Nd: Any, start: Any, length: Any, taps_BJd: Any) -> None:
    """Keep the last J inputs of each sequence, the latest first; 0 before its start."""
    for b in range(len(start)):
        for j in range(taps_BJd.shape[1]):
            for c in range(taps_BJd.shape[2]):
                inside = j < length[b]
                taps_BJd[b, j, c] = x_Nd[start[b] + length[b] - 1 - j, c] if inside else f32(0)


@kernel
def mix(x_bd: Any, weight_Jd: Any, lines: Any, taps_BJd: Any, y_bd: Any) -> None:
    """y = x + Σ_j w_j ⊙ x_{−j} for the next token of some texts, whose taps move on."""
    taps, d = weight_Jd.shape
    for i in range(len(lines)):
        b = lines[i]
        for c in range(d):
            total = x_bd[i, c]
            for j in range(taps):
                total += weight_Jd[j, c] * taps_BJd[b, j, c]
            y_bd[i, c] = total
            for j in range(taps - 1, 0, -1):
                taps_BJd[b, j, c] = taps_BJd[b, j - 1, c]
            taps_BJd[b, 0, c] = x_bd[i, c]


@kernel
def fill(
    qkv_Ne: Any, heads: Any, cos_TP: Any, sin_TP: Any, start: Any, length: Any, keys_BdT: Any, values_BTd: Any
) -> None:
    """Put the rotated keys and the values of whole sequences into the cache."""
    size = cos_TP.shape[1] * 2
    width = heads * size
    turned = np.empty(length.max() * width, f32)
    for b in range(len(start)):
        for t in range(length[b]):
            line = qkv_Ne[start[b] + t]
            for h in range(heads):
                _rotated(line, width + h * size, size, cos_TP, sin_TP, t, f32(1), turned, t * width + h * size, 1)
            for c in range(width):
                values_BTd[b, t, c] = line[2 * width + c]
        for c in range(width):
            for t in range(length[b]):
                keys_BdT[b, c, t] = turned[t * width + c]


@kernel
def attend(
    qkv: Any, heads: Any, cos_TP: Any, sin_TP: Any, lines: Any, length: Any, keys: Any, values: Any, out: Any
) -> None:
    """Attention of the next token of some texts over all before it and itself, which join the cache.

    Args:
        qkv: (b, 3·heads·D) flat.
        heads, cos_TP, sin_TP: as in `fused.attend`; T is the cache's capacity.
        lines: (b,) the texts.
        length: (B,) of each text before this token.
        keys, values: the cache, flat.
        out: (b, heads·D) flat; filled.
    """
    capacity, size = cos_TP.shape[0], cos_TP.shape[1] * 2
    width = heads * size
    root = f32(1) / math.sqrt(f32(size))
    q, k, p = np.empty(size, f32), np.empty(size, f32), np.empty(capacity, f32)
    mixed, level = np.empty(size, f32), np.empty(LANES, f32)
    for i in range(len(lines)):
        b = lines[i]
        here = length[b]
        seen = here + 1
        padded = (seen + LANES - 1) // LANES * LANES
        for h in range(heads):
            at, cache = i * 3 * width + h * size, (b * width + h * size) * capacity
            _rotated(qkv, at, size, cos_TP, sin_TP, here, root, q, 0, 1)
            _rotated(qkv, at + width, size, cos_TP, sin_TP, here, f32(1), k, 0, 1)
            first = b * capacity * width + h * size  # of this head's values
            for d in range(size):
                keys[cache + d * capacity + here] = k[d]
                values[first + here * width + d] = qkv[at + 2 * width + d]
            p[:padded] = f32(0)
            for d in range(size):
                for j in range(0, seen, LANES):
                    _add(p, j, q[d], keys, cache + d * capacity + j)
            for j in range(seen, padded):
                p[j] = f32(-1e30)  # what lies in the cache beyond the text
            level[:] = f32(-1e30)
            for j in range(0, seen, LANES):
                _raise_to(level, 0, p, j)
            level[:] = level.max()
            for j in range(0, seen, LANES):
                _exp_less(p, j, level, 0)
            level[:] = f32(0)
            for j in range(0, seen, LANES):
                _add(level, 0, f32(1), p, j)
            mixed[:] = f32(0)
            for j in range(seen):
                for d in range(0, size, LANES):
                    _add(mixed, d, p[j], values, first + j * width + d)
            share = f32(1) / level.sum()
            for d in range(size):
                out[i * width + h * size + d] = mixed[d] * share
