"""Splits that cannot overlap: a question's normalised text alone decides which split it belongs to, whatever the seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import get_args

from configs.errors import ConfigError, require
from tasks.base import Split
from tasks.normalised import normalised

SPLITS: tuple[Split, ...] = get_args(Split)


def prompt_hash(prompt: str) -> str:
    """32 hex digits; prompts with the same `normalised` text have the same."""
    return hashlib.sha256(normalised(prompt).encode()).hexdigest()[:32]


def split_of(digest: str, shares: Mapping[str, float]) -> Split:
    """The split of a prompt with this `prompt_hash`, read as a point along the shares in the order of `SPLITS`."""
    point = int(digest, 16) / 16 ** len(digest) * sum(shares.values())
    chosen = [split for split in SPLITS if shares.get(split, 0) > 0]
    for split in chosen[:-1]:
        point -= shares[split]
        if point < 0:
            return split
    return chosen[-1]


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise `ConfigError` for unknown splits, negative shares, or nothing to ask or to score on."""
    for name, share in shares.items():
        if name not in SPLITS:
            raise ConfigError("shares", name, "is not a split", SPLITS)
        require(share >= 0, "shares", share, f"the share of {name} must not be negative")
    for name in ("train", "heldout"):
        require(shares.get(name, 0) > 0, "shares", dict(shares), f"{name} needs a share above 0")
