"""Explicit generators: one per (seed, purpose), so that cells which differ in a defense only still draw the same prompts and
the same sampling noise."""

from __future__ import annotations

import hashlib

import numpy as np


def derived_seed(seed: int, *purpose: str) -> int:
    """A 63-bit seed for this purpose."""
    digest = hashlib.sha256("/".join((str(seed), *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """The generator for this purpose."""
    return np.random.default_rng(derived_seed(seed, *purpose))
