"""Splits that cannot overlap: a question's normalised text alone decides which split it belongs to, whatever the seeds."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import get_args

from configs.errors import ConfigError, require
from tasks.base import Split

SPLITS: tuple[Split, ...] = get_args(Split)


_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201b\u2032`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    }
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]")
_AROUND_MARKS = re.compile(r"\s*([^\w\s])\s*")


def normalised(text: str) -> str:
    """``text`` without what does not change a question: case, kinds of white space, of quotation marks and of dashes,
    Unicode's compatibility forms, invisible characters, white space beside punctuation, and punctuation that ends the text.
    Raised digits stay apart from plain ones."""
    raised = _RAISED.sub(lambda digit: f"^{unicodedata.digit(digit.group())}", text)
    raised = _INVISIBLE.sub("", raised.translate(_ALIKE))
    plain = unicodedata.normalize("NFKC", raised).translate(_ALIKE).casefold()
    return _AROUND_MARKS.sub(r"\1", " ".join(plain.split())).rstrip(".?!:;, ")


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
