"""How many tokens a model can take at once, found by trying: two pieces of work of different size, and the memory that each
took. Knows no models' insides."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lm.later import torch

LEAST, MOST, UNKNOWN = 1024, 65_536, 4096
"""Tokens at once: never fewer or more than these, and as many where memory cannot be measured."""
SHARE = 0.5
"""Of the memory that is free, what one batch may take: machines are shared, and allocators keep more than they hand out."""

_SELF = Path("/proc/self")


def tokens_that_fit(work: Callable[[int], int], device: torch.device) -> int:
    """A power of two: tokens of such work that take `SHARE` of the free memory at most.

    Args:
        work: does a piece of it in so many units, 1 and then 4, and returns its tokens. Done once before without being
            measured, since what stays (gradients, tables) is made then.
        device: where it runs.
    """
    work(1)
    sizes = []
    for units in (1, 4):
        start = _begin(device)
        tokens = work(units)
        sizes.append((tokens, _peak(device)))
        if not start:
            return UNKNOWN
    (few, less), (many, more) = sizes
    each = max(more - less, 1) / max(many - few, 1)
    found = int(SHARE * free_memory(device) / each)
    return min(max(1 << max(found, 1).bit_length() - 1, LEAST), MOST)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device, or on the machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _begin(device: torch.device) -> bool:
    """Forget the highest use so far; False where it cannot be measured."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    with suppress(AttributeError, OSError):  # memory freed earlier and kept would serve the work without being seen
        ctypes.CDLL(None).malloc_trim(0)
    try:
        (_SELF / "clear_refs").write_text("5")  # proc(5): resets the peak of resident memory
    except OSError:
        return False
    return device.type == "cpu"


def _peak(device: torch.device) -> int:
    """Most bytes in use since `_begin`."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        lines = (_SELF / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
