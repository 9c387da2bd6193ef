"""Of the answers to one prompt, believe the one that came most often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from attacks.base import Recover, RecoverContext
from attacks.recover.comparable import members
from attacks.recover.retelling import answers
from configs.errors import ConfigError
from configs.ranges import at_least
from lm.examples import Examples

TIES = ("first", "all", "none")


@dataclass(frozen=True)
class SelfConsistency(Recover):
    """Keeps the rows of each prompt that give its majority answer: a checker for whoever has none, paid in queries.

    A row votes with what it shows as its answer (`Channel.ANSWER`, in words, white space aside); one that shows none has no
    vote, and goes where others of its prompt have one; where none has, all stay. The paper takes the most frequent answer
    and does not say what happens to ties; ``ties`` does. Of a prompt that was asked once the one answer is the majority, so
    this needs a harvest that asks often (`repeated`). Rows from elsewhere stay.

    Args:
        votes: an answer needs at least so many, or all rows of its prompt go.
        ties: of answers with equally many votes, keep the one that came "first", "all" of them, or "none".
    """

    name: ClassVar[str] = "self_consistency"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Wang et al. 2023, arXiv 2203.11171, section 2"
    adaptive: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    votes: int = 1
    ties: Literal["first", "all", "none"] = "first"

    def __post_init__(self) -> None:
        at_least(self, 1, "votes")
        if self.ties not in TIES:
            raise ConfigError("ties", self.ties, "is no way to break ties", TIES)

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        said = np.array([" ".join(text.split()) for text in answers(data, context)], object)
        keep = data.item < 0
        for rows in members(data.item):
            cast = Counter(text for text in said[rows] if text)
            keep[rows] = np.isin(said[rows], self._elected(cast)) if cast else True
        return data.where(keep)

    def _elected(self, cast: Counter[str]) -> list[str]:
        """The answers that are believed; a counter keeps the order in which they came."""
        most = max(cast.values())
        tied = [answer for answer, count in cast.items() if count == most]
        if most < self.votes or (self.ties == "none" and len(tied) > 1):
            return []
        return tied if self.ties == "all" else tied[:1]
