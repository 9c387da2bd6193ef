"""Attention of the mini models in plain compiled loops and BLAS: what the instructions written by hand in
`lm.mini.fused_attention` are measured against (`python -m benchmarks.attention`). One head of one row at a time: its
queries, keys and values are gathered into small matrices that stay in the first cache, and BLAS multiplies those (numba's
``np.dot`` calls scipy's).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lm.compiled import f32, kernel

LOWEST = f32(-1e30)
"""Below any score."""


@kernel
def _turned(x_D: Any, cos_P: Any, sin_P: Any, factor: Any, y_D: Any) -> None:
    """Turn pairs of neighbours by the angles of a place, times a factor."""
    for p in range(len(cos_P)):
        a, b, c, s = x_D[2 * p], x_D[2 * p + 1], cos_P[p] * factor, sin_P[p] * factor
        y_D[2 * p] = a * c - b * s
        y_D[2 * p + 1] = a * s + b * c


@kernel
def _gather(
    qkv_N3HD: Any, first: Any, h: Any, cos_TP: Any, sin_TP: Any, root: Any, q_tD: Any, k_tD: Any, v_tD: Any
) -> None:
    """One head of the tokens from ``first`` on: queries, turned and times ``root``; keys, turned; values."""
    for t in range(len(q_tD)):
        _turned(qkv_N3HD[first + t, 0, h], cos_TP[t], sin_TP[t], root, q_tD[t])
        _turned(qkv_N3HD[first + t, 1, h], cos_TP[t], sin_TP[t], f32(1), k_tD[t])
        for d in range(q_tD.shape[1]):
            v_tD[t, d] = qkv_N3HD[first + t, 2, h, d]


@kernel
def attend(qkv_N3HD: Any, cos_TP: Any, sin_TP: Any, start: Any, length: Any, out_NHD: Any, lse_NH: Any) -> None:
    """Causal attention with rotary positions within each sequence.

    Args:
        qkv_N3HD: queries, keys, values of H heads; pairs of neighbours in a head are rotated.
        cos_TP, sin_TP: (T, D/2) of the angle of each pair at each place.
        start, length: (R,) of the sequences.
        out_NHD: filled.
        lse_NH: filled with the log of the sum of the exponentials of the scores.
    """
    heads, size, longest = qkv_N3HD.shape[2], qkv_N3HD.shape[3], length.max()
    root = f32(1) / math.sqrt(f32(size))
    q_TD, k_TD, v_TD, mixed_TD = [np.empty((longest, size), f32) for _ in range(4)]
    room = np.empty(longest * longest, f32)
    for r in range(len(start)):
        first, n = start[r], length[r]
        q, k, v, mixed = q_TD[:n], k_TD[:n], v_TD[:n], mixed_TD[:n]
        p = room[: n * n].reshape(n, n)
        for h in range(heads):
            _gather(qkv_N3HD, first, h, cos_TP, sin_TP, root, q, k, v)
            np.dot(q, k.T, p)
            for i in range(n):
                highest = LOWEST  # taken off before the exponential, which would overflow
                for j in range(i + 1):
                    highest = max(highest, p[i, j])
                total = f32(0)
                for j in range(i + 1):
                    p[i, j] = math.exp(p[i, j] - highest)
                    total += p[i, j]
                for j in range(i + 1, n):
                    p[i, j] = f32(0)
                lse_NH[first + i, h] = highest + math.log(total)
                share = f32(1) / total
                for j in range(i + 1):
                    p[i, j] *= share
            np.dot(p, v, mixed)
            for i in range(n):
                for d in range(size):
                    out_NHD[first + i, h, d] = mixed[i, d]


@kernel
def attend_back(
    g_NHD: Any,
    qkv_N3HD: Any,
    cos_TP: Any,
    sin_TP: Any,
    start: Any,
    length: Any,
    out_NHD: Any,
    lse_NH: Any,
    by_qkv_N3HD: Any,
) -> None:
    """Gradient of `attend` by ``qkv``, from that by ``out``."""
    heads, size, longest = qkv_N3HD.shape[2], qkv_N3HD.shape[3], length.max()
    root, back_TP = f32(1) / math.sqrt(f32(size)), -sin_TP
    q_TD, k_TD, v_TD, g_TD, by_q_TD, by_k_TD, by_v_TD = [np.empty((longest, size), f32) for _ in range(7)]
    room, slope_room = np.empty(longest * longest, f32), np.empty(longest * longest, f32)
    for r in range(len(start)):
        first, n = start[r], length[r]
        q, k, v, g = q_TD[:n], k_TD[:n], v_TD[:n], g_TD[:n]
        by_q, by_k, by_v = by_q_TD[:n], by_k_TD[:n], by_v_TD[:n]
        p, slope = room[: n * n].reshape(n, n), slope_room[: n * n].reshape(n, n)
        for h in range(heads):
            _gather(qkv_N3HD, first, h, cos_TP, sin_TP, root, q, k, v)
            for i in range(n):
                for d in range(size):
                    g[i, d] = g_NHD[first + i, h, d]
            np.dot(q, k.T, p)
            np.dot(g, v.T, slope)
            for i in range(n):
                # The softmax's backward: p · (slope − Σ p·slope), where Σ_j p_j·slope_j = g · out.
                level, along = lse_NH[first + i, h], f32(0)
                for d in range(size):
                    along += g[i, d] * out_NHD[first + i, h, d]
                for j in range(i + 1):
                    p[i, j] = math.exp(p[i, j] - level)
                for j in range(i + 1):
                    slope[i, j] = (slope[i, j] - along) * p[i, j]
                for j in range(i + 1, n):
                    p[i, j] = slope[i, j] = f32(0)
            np.dot(slope, k, by_q)
            np.dot(slope.T, q, by_k)
            np.dot(p.T, g, by_v)
            for t in range(n):
                _turned(by_q[t], cos_TP[t], back_TP[t], root, by_qkv_N3HD[first + t, 0, h])
                _turned(by_k[t], cos_TP[t], back_TP[t], f32(1), by_qkv_N3HD[first + t, 1, h])
                for d in range(size):
                    by_qkv_N3HD[first + t, 2, h, d] = by_v[t, d]
