"""Compiled kernels of attention for CPUs, for training, reading and decoding; see `lm.mini.fused`.

`LANES` numbers are multiplied at a time: queries where whole sequences attend, keys where one token does. A decoder caches
keys as (B, d, capacity), so that a query is compared with `LANES` of them at once, and values as (B, capacity, d).

The vector instructions are written out for the compiler, in LLVM's language. Plain loops with BLAS
(`benchmarks.plain_attention`) take 1.29 times as long, forward and backward, at heads of 16 (students), 1.06 times at heads
of 24 (teachers): one core of an Intel Xeon (Emerald Rapids), numba 0.68, 80 rows; ``python -m benchmarks.attention``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from lm.compiled import f32, kernel

LANES = 8
"""Neighbouring numbers that are multiplied at once; the size of a head has to be a multiple."""


FLOAT, INT = ir.FloatType(), ir.IntType(32)
VECTOR, WHOLE = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    """To `LANES` floats of a contiguous array, from flat place ``at``."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), VECTOR.as_pointer())


def _called(builder: Any, name: str, *vectors: Any) -> Any:
    """One of the compiler's own functions of vectors."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(vectors))
    name = f"llvm.{name}.v{LANES}f32"
    return builder.call(builder.module.globals.get(name) or ir.Function(builder.module, kind, name), vectors)


def _splat(builder: Any, value: Any) -> Any:
    """All lanes the same."""
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, INT(0))
    return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), ir.Constant(WHOLE, [0] * LANES))


def _lanes(combine: Callable[[Any, Any, Any], Any]) -> Any:
    """An operation ``(a, at_a, b, at_b)`` on contiguous arrays: `LANES` neighbours of a become ``combine(builder, a, b)``.

    Written out for the compiler, which cannot know that the arrays do not overlap and would take the lanes one by one.
    """

    @intrinsic
    def operation(_context: Any, a: Any, at_a: Any, b: Any, at_b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            to, source = (_pointer(context, builder, signature.args[i], values[i], values[i + 1]) for i in (0, 2))
            result = combine(builder, builder.load(to, align=4), builder.load(source, align=4))
            builder.store(result, to, align=4)
            return context.get_dummy_value()

        return types.void(a, types.intp, b, types.intp), generate

    return operation


def _exp_of_difference(builder: Any, a: Any, b: Any) -> Any:
    """e^(a − b) to a relative error of 1e-6, for differences up to 88; 0 below −87, never a slow denormal."""

    def constant(value: float) -> Any:
        return ir.Constant(VECTOR, [value] * LANES)

    y = builder.fmul(builder.fsub(a, b), constant(1.4426950216293335))
    y = _called(builder, "maxnum", y, constant(-127.0))
    whole = _called(builder, "floor", y)
    part = builder.fsub(y, whole)
    power = constant(POWERS[0])
    for coefficient in POWERS[1:]:
        power = _called(builder, "fma", power, part, constant(coefficient))
    exponent = builder.add(builder.fptosi(whole, WHOLE), ir.Constant(WHOLE, [127] * LANES))
    scale = builder.bitcast(builder.shl(exponent, ir.Constant(WHOLE, [23] * LANES)), VECTOR)
    return builder.fmul(power, scale)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


POWERS = tuple(
    float(f32(c)) for c in (1.8775767e-3, 8.9893397e-3, 5.5826318e-2, 2.4015361e-1, 6.9315308e-1, 9.9999994e-1)
)
"""Of 2^x on [0, 1), highest first."""

_exp_less = _lanes(_exp_of_difference)
_raise_to = _lanes(_larger)
_less = _lanes(lambda builder, a, b: builder.fsub(a, b))
_times = _lanes(lambda builder, a, b: builder.fmul(a, b))


@intrinsic
def _add(_context: Any, a: Any, at_a: Any, factor: Any, b: Any, at_b: Any) -> Any:
    """a += factor · b over `LANES` neighbours."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        to = _pointer(context, builder, signature.args[0], values[0], values[1])
        b = builder.load(_pointer(context, builder, signature.args[3], values[3], values[4]), align=4)
        product = _called(builder, "fma", _splat(builder, values[2]), b, builder.load(to, align=4))
        builder.store(product, to, align=4)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.float32, b, types.intp), generate


@kernel
def _rotated(
    x: Any, at: Any, size: Any, cos_TP: Any, sin_TP: Any, t: Any, factor: Any, y: Any, to: Any, by: Any
) -> None:
    """Turn the pairs of one head by the angles of place t, times a factor; neighbours in ``y`` lie ``by`` apart."""
    for p in range(size // 2):
        a, b, c, s = x[at + 2 * p], x[at + 2 * p + 1], cos_TP[t, p] * factor, sin_TP[t, p] * factor
        y[to + 2 * p * by] = a * c - b * s
        y[to + (2 * p + 1) * by] = a * s + b * c


@kernel
def attend(qkv: Any, heads: Any, cos_TP: Any, sin_TP: Any, start: Any, length: Any, out: Any, lse: Any) -> None:
    """Causal attention with rotary positions within each sequence, `LANES` queries at a time.

    Args:
        qkv: (N, 3·heads·D) flat: queries, keys, values; pairs of neighbours in a head are rotated.
        heads: number of heads; D a multiple of `LANES`.
        cos_TP, sin_TP: (T, D/2) of the angle of each pair at each place.
        start, length: (R,) of the sequences.
        out: (N, heads·D) flat; filled.
        lse: (N·heads) flat; filled with the log of the sum of the exponentials.
    """
    size = cos_TP.shape[1] * 2
    longest, width = length.max() + LANES, heads * size
    root = f32(1) / math.sqrt(f32(size))
    k, q, mixed = np.empty(longest * size, f32), np.zeros(size * LANES, f32), np.empty(size * LANES, f32)
    p, highest, total = np.empty(longest * LANES, f32), np.empty(LANES, f32), np.empty(LANES, f32)
    for r in range(len(start)):
        for h in range(heads):
            for t in range(length[r]):
                at = (start[r] + t) * 3 * width + h * size
                _rotated(qkv, at + width, size, cos_TP, sin_TP, t, f32(1), k, t * size, 1)
            for first in range(0, length[r], LANES):
                queries = min(LANES, length[r] - first)
                keys = first + queries
                for i in range(queries):
                    at = (start[r] + first + i) * 3 * width + h * size
                    _rotated(qkv, at, size, cos_TP, sin_TP, first + i, root, q, i, LANES)
                _scores(q, k, 0, size, size, keys, p)
                _causal(p, first, keys)
                highest[:] = f32(-1e30)
                for j in range(keys):
                    _raise_to(highest, 0, p, j * LANES)
                total[:] = f32(0)
                for j in range(keys):
                    _exp_less(p, j * LANES, highest, 0)
                    _add(total, 0, f32(1), p, j * LANES)
                mixed[:] = f32(0)
                for j in range(keys):
                    at = (start[r] + j) * 3 * width + 2 * width + h * size
                    for d in range(size):
                        _add(mixed, d * LANES, qkv[at + d], p, j * LANES)
                for i in range(queries):
                    token = start[r] + first + i
                    share = f32(1) / total[i]
                    for d in range(size):
                        out[token * width + h * size + d] = mixed[d * LANES + i] * share
                    lse[token * heads + h] = highest[i] + math.log(total[i])


@kernel
def _scores(q: Any, k: Any, at: Any, by: Any, size: Any, keys: Any, p: Any) -> None:
    """p[j] = Σ_d q[d] · k[j, d] for `LANES` queries; the line of key j begins at ``at + j·by``."""
    p[: keys * LANES] = f32(0)
    for d in range(size):
        for j in range(keys):
            _add(p, j * LANES, k[at + j * by + d], q, d * LANES)


@kernel
def _causal(p: Any, first: Any, keys: Any) -> None:
    """No query sees a later key."""
    for j in range(first + 1, keys):
        for lane in range(j - first):
            p[j * LANES + lane] = f32(-1e30)


@kernel
def attend_back(
    g: Any, qkv: Any, heads: Any, cos_TP: Any, sin_TP: Any, start: Any, length: Any, out: Any, lse: Any, by_qkv: Any
) -> None:
    """Gradient of `attend` by ``qkv``, from that by ``out``; both flat."""
    size = cos_TP.shape[1] * 2
    longest, width = length.max() + LANES, heads * size
    root, back_TP = f32(1) / math.sqrt(f32(size)), -sin_TP
    k, by_k, by_v = np.empty(longest * size, f32), np.empty(longest * size, f32), np.empty(longest * size, f32)
    q, q_lines = np.zeros(size * LANES, f32), np.zeros(LANES * size, f32)
    g_turned, by_q = np.zeros(size * LANES, f32), np.empty(size * LANES, f32)
    line, mean, level = np.empty(size, f32), np.zeros(LANES, f32), np.zeros(LANES, f32)
    p, slope = np.empty(longest * LANES, f32), np.empty(longest * LANES, f32)
    for r in range(len(start)):
        for h in range(heads):
            for t in range(length[r]):
                at = (start[r] + t) * 3 * width + h * size
                _rotated(qkv, at + width, size, cos_TP, sin_TP, t, f32(1), k, t * size, 1)
            by_k[:] = f32(0)
            by_v[:] = f32(0)
            values = start[r] * 3 * width + 2 * width + h * size
            for first in range(0, length[r], LANES):
                queries = min(LANES, length[r] - first)
                keys = first + queries
                for i in range(queries):
                    token = start[r] + first + i
                    at = token * 3 * width + h * size
                    _rotated(qkv, at, size, cos_TP, sin_TP, first + i, root, q, i, LANES)
                    here = token * width + h * size
                    along = f32(0)
                    for d in range(size):
                        along += g[here + d] * out[here + d]
                    mean[i] = along
                    for d in range(size):
                        q_lines[i * size + d] = q[d * LANES + i]
                        g_turned[d * LANES + i] = g[here + d]
                    level[i] = lse[token * heads + h]
                _scores(q, k, 0, size, size, keys, p)
                _causal(p, first, keys)
                _scores(g_turned, qkv, values, 3 * width, size, keys, slope)
                by_q[:] = f32(0)
                for j in range(keys):
                    _exp_less(p, j * LANES, level, 0)
                    _less(slope, j * LANES, mean, 0)
                    _times(slope, j * LANES, p, j * LANES)
                    for d in range(size):
                        _add(by_q, d * LANES, k[j * size + d], slope, j * LANES)
                    for i in range(queries):
                        token = start[r] + first + i
                        for d in range(0, size, LANES):
                            _add(by_v, j * size + d, p[j * LANES + i], g, token * width + h * size + d)
                            _add(by_k, j * size + d, slope[j * LANES + i], q_lines, i * size + d)
                for i in range(queries):
                    for d in range(size):
                        line[d] = by_q[d * LANES + i]
                    at = (start[r] + first + i) * 3 * width + h * size
                    _rotated(line, 0, size, cos_TP, back_TP, first + i, root, by_qkv, at, 1)
            for t in range(length[r]):
                at = (start[r] + t) * 3 * width + h * size
                _rotated(by_k, t * size, size, cos_TP, back_TP, t, f32(1), by_qkv, at + width, 1)
                for d in range(size):
                    by_qkv[at + 2 * width + d] = by_v[t * size + d]


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
def attend_next(
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
