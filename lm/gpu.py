"""Whether there is a GPU that torch computes on, found out without importing torch where there is no driver for one."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

DRIVERS = ("libcuda.so.1", "nvcuda.dll")
"""CUDA's driver on Linux and Windows: torch finds no GPU without it."""
ROCM = Path("/dev/kfd")
"""The device of AMD's driver, which torch calls CUDA too."""


@cache
def has_gpu() -> bool:
    """Asks torch, unless no driver is installed."""
    if not (ROCM.exists() or any(map(_loads, DRIVERS))):
        return False
    import torch

    return torch.cuda.is_available()


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
