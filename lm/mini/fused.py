"""Compiled kernels of the mini architecture for CPUs: each reads and writes its arrays once, and no row is padded.

At a width of 64 to 96 a step on a CPU is bound by passes over memory and by calls, not by multiplications, so what lies
between two matrix products is one loop here. Arrays are flat: a token a line; ``start`` and ``length`` say where each
sequence lies. All is float32. Attention has a file of its own (`lm.mini.fused_attention`); the same in torch is
`lm.mini.steps_torch`.
"""

from __future__ import annotations

import math
from typing import Any

from lm.compiled import f32, kernel


@kernel
def norm(x_Nd: Any, eps: Any, y_Nd: Any, scale_N: Any) -> None:
    """y = x · scale, scale = 1 / √(mean(x²) + ε)."""
    n, d = x_Nd.shape
    for t in range(n):
        square = f32(0)  # float32 from the start: a plain 0.0 would make the whole sum float64
        for c in range(d):
            square += x_Nd[t, c] * x_Nd[t, c]
        scale = f32(1) / math.sqrt(square / f32(d) + eps)
        scale_N[t] = scale
        for c in range(d):
            y_Nd[t, c] = x_Nd[t, c] * scale


@kernel
def norm_back(g_Nd: Any, y_Nd: Any, scale_N: Any, around_Nd: Any) -> None:
    """``around`` += (g − y · mean(g·y)) · scale."""
    n, d = y_Nd.shape
    for t in range(n):
        along = f32(0)
        for c in range(d):
            along += g_Nd[t, c] * y_Nd[t, c]
        along /= f32(d)
        scale = scale_N[t]
        for c in range(d):
            around_Nd[t, c] += (g_Nd[t, c] - y_Nd[t, c] * along) * scale


@kernel
def mix(x_Nd: Any, weight_Jd: Any, start: Any, length: Any, y_Nd: Any) -> None:
    """y_t = x_t + Σ_j w_j ⊙ x_{t−j} within each sequence."""
    taps, d = weight_Jd.shape
    for r in range(len(start)):
        for t in range(length[r]):
            at = start[r] + t
            for c in range(d):
                y_Nd[at, c] = x_Nd[at, c]
            for j in range(
                1, min(taps, t) + 1
            ):  # fewer at the start of a sequence, so that nothing leaks from the last
                for c in range(d):  # the innermost loop always runs over neighbours in memory
                    y_Nd[at, c] += weight_Jd[j - 1, c] * x_Nd[at - j, c]


@kernel
def mix_back(g_Nd: Any, x_Nd: Any, weight_Jd: Any, start: Any, length: Any, by_x_Nd: Any, by_weight_Jd: Any) -> None:
    """Gradients of `mix`; ``by_weight`` is added to."""
    taps, d = weight_Jd.shape
    for r in range(len(start)):
        for t in range(length[r]):
            at = start[r] + t
            for c in range(d):
                by_x_Nd[at, c] = g_Nd[at, c]
            for j in range(1, min(taps, length[r] - 1 - t) + 1):
                for c in range(d):
                    by_x_Nd[at, c] += weight_Jd[j - 1, c] * g_Nd[at + j, c]
            for j in range(1, min(taps, t) + 1):
                for c in range(d):
                    by_weight_Jd[j - 1, c] += g_Nd[at, c] * x_Nd[at - j, c]


@kernel
def squared_relu(x: Any, y: Any) -> None:
    """x becomes max(x, 0), y its square; both flat."""
    for i in range(len(x)):
        positive = max(x[i], f32(0))
        x[i] = positive
        y[i] = positive * positive


@kernel
def squared_relu_back(g: Any, positive: Any, square: Any) -> None:
    """``g`` *= 2·max(x, 0), and the square once more, which costs less than keeping it since the way forward; all flat."""
    for i in range(len(g)):
        p = positive[i]
        g[i] *= f32(2) * p
        square[i] = p * p


@kernel
def squared_relu_in_place(x: Any) -> None:
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
def next_mix(x_bd: Any, weight_Jd: Any, lines: Any, taps_BJd: Any, y_bd: Any) -> None:
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
