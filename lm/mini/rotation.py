"""Angles of rotary positions (arXiv 2104.09864)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def rotation(length: int, pairs: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine (T, P), float32 on the CPU, of the angle t · θ^(−p/P) of pair p at place t."""
    at = torch.arange(pairs, dtype=torch.float32)
    angle = torch.arange(length, dtype=torch.float32)[:, None] * theta ** (-at / pairs)
    return angle.cos().contiguous(), angle.sin().contiguous()
