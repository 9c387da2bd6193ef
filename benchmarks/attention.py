"""What vector instructions written by hand gain over plain compiled loops with BLAS in the attention of the mini models:
``python -m benchmarks.attention``. Both are timed in turns; ratios below 1 are for the instructions.

Written by hand they stay while they pay (`lm.mini.fused_attention` says by how much). Another way of rounding changes the
last bits of every model that is trained, so they are exchanged together with the results, not alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks import plain_attention
from lm.mini import fused_attention

TINY = ("--rows", "3", "--repeats", "2")
SIZES = (16, 24)
"""Of a head: of the student, and of the teacher."""
HEADS, LEAST, MOST = 4, 10, 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each size of a head."""
    parser = argparse.ArgumentParser("python -m benchmarks.attention", description=__doc__)
    parser.add_argument("--rows", type=int, default=80, help="sequences in a batch")
    parser.add_argument("--repeats", type=int, default=150, help="the least of so many is told")
    asked = parser.parse_args(arguments)
    print("| head size | tokens | by hand | plain | ratio | largest difference |\n|--:|--:|--:|--:|--:|--:|")
    for size in SIZES:
        by_hand, plain, tokens = both(size, asked.rows)
        ours, theirs = least_of_each((by_hand, plain), asked.repeats)
        apart = max(float(np.abs(a - b).max()) for a, b in zip(by_hand(), plain(), strict=True))
        print(
            f"| {size} | {tokens} | {ours * 1e3:.2f} ms | {theirs * 1e3:.2f} ms | {ours / theirs:.2f} | {apart:.1e} |"
        )
    return 0


Arrays = tuple[NDArray[np.float32], ...]


def both(size: int, rows: int) -> tuple[Callable[[], Arrays], Callable[[], Arrays], int]:
    """Forward and backward in each way, which give output and gradient, and how many tokens they are of."""
    rng = np.random.default_rng(size)
    length = rng.integers(LEAST, MOST, rows)
    start, tokens = np.concatenate([[0], np.cumsum(length)[:-1]]), int(length.sum())
    qkv, g = (rng.normal(size=(tokens, *parts, HEADS, size)).astype(np.float32) for parts in ((3,), ()))
    angles = rng.normal(size=(MOST, size // 2)).astype(np.float32)
    cos, sin = np.cos(angles), np.sin(angles)

    def empty() -> Arrays:
        return np.empty_like(g), np.empty_like(qkv), np.empty((tokens, HEADS), np.float32)

    def by_hand() -> Arrays:
        out, by_qkv, lse = empty()
        where = (HEADS, cos, sin, start, length)
        fused_attention.attend(qkv.reshape(-1), *where, out.reshape(-1), lse.reshape(-1))
        flat = out.reshape(-1), lse.reshape(-1), by_qkv.reshape(-1)
        fused_attention.attend_back(g.reshape(-1), qkv.reshape(-1), *where, *flat)
        return out, by_qkv

    def plain() -> Arrays:
        out, by_qkv, lse = empty()
        plain_attention.attend(qkv, cos, sin, start, length, out, lse)
        plain_attention.attend_back(g, qkv, cos, sin, start, length, out, lse, by_qkv)
        return out, by_qkv

    return by_hand, plain, tokens


def least_of_each(ways: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Seconds of the fastest run of each, taken in turns after one that compiles."""
    found = [float("inf")] * len(ways)
    for way in ways:
        way()
    for _ in range(repeats):
        for at, way in enumerate(ways):
            began = time.perf_counter()
            way()
            found[at] = min(found[at], time.perf_counter() - began)
    return found


if __name__ == "__main__":
    sys.exit(main())
