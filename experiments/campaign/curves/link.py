"""Which lab queries the exchanges of a campaign stand for: an assumption, kept in one place and put in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import ConfigError, require
from experiments.measure.transfer import POOLED

if TYPE_CHECKING:
    from experiments.campaign.curves.fitted import Curves

FAMILIES = {
    "reasoning": "chain",
    "agentic_reasoning": "chain",
    "rubric_grading": "chain",
    "coding": "code",
    "agentic_coding": "code",
    "tool_use": "tool",
    "computer_use": "tool",
    "data_analysis": "tool",
    "rewriting": "facts",
    "mixed": POOLED,
}
"""Capability of a campaign -> family of the mini world that stands for it; ``mixed``: all together."""

KINDS = ("share", "ratio")


@dataclass(frozen=True)
class CapabilityLink:
    """How exchanges of a campaign stand for queries in the lab.

    Args:
        kind: ``share``: the share of the planned exchanges of a capability that got through stands for the same share of
            the lab's query budget; ``ratio``: each exchange stands for a stated number of lab queries.
        lab_queries: the lab's query budget, all families together, for ``share``; 0: the largest that was measured.
        ratio: lab queries per exchange, for ``ratio`` only.
        families: capability -> family of the lab, or ``pooled``.
        altered_wrong: share of the exchanges counted as altered that really carry an error. 0.3 is a provider that serves
            whom it suspects through ``random_errors(rate=0.3)``; 1 is one that makes every such answer wrong.
    """

    kind: Literal["share", "ratio"] = "share"
    lab_queries: int = 0
    ratio: float | None = None
    families: dict[str, str] = field(default_factory=lambda: dict(FAMILIES))
    altered_wrong: float = 0.3

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError("link.kind", self.kind, "is no way to map exchanges to queries", KINDS)
        require(self.lab_queries >= 0, "link.lab_queries", self.lab_queries, "must be at least 0")
        if self.kind == "ratio":
            stated = self.ratio is not None and 0 < self.ratio < float("inf")
            require(stated, "link.ratio", self.ratio, "must be stated, more than 0, for link.kind = 'ratio'")
        else:
            require(self.ratio is None, "link.ratio", self.ratio, "means nothing for link.kind = 'share'")
        require(0 < self.altered_wrong <= 1, "link.altered_wrong", self.altered_wrong, "must lie in (0, 1]")
        require(bool(self.families), "link.families", self.families, "must name a family for some capability")

    def family(self, capability: str, curves: Curves) -> str:
        """The lab's family that stands for a capability; `ConfigError` with the choices where there is none."""
        if capability not in self.families:
            raise ConfigError("capability", capability, "has no family in link.families", self.families)
        family = self.families[capability]
        if family not in curves.families:
            raise ConfigError(f"link.families.{capability}", family, "has no measured curve", curves.families)
        return family

    def words(self, capability: str, curves: Curves) -> str:
        """The mapping of one capability, to be printed beside its numbers."""
        family = self.family(capability, curves)
        named = "all families together" if family == POOLED else f"family {family!r}"
        if self.kind == "share":
            budget = self.lab_queries or curves.largest
            scale = f"the share of planned exchanges that got through is read as that share of {budget:,} lab queries"
        else:
            scale = f"one exchange is read as {self.ratio:g} lab queries"
        return (
            f"{capability} is read off {named} of the lab; {scale}, in the lab's mix of families; an altered answer is "
            f"wrong with probability {self.altered_wrong:g}. An assumption, not a measurement of language models."
        )

    def queries(self, exchanges: ArrayLike, planned: float, curves: Curves) -> NDArray[np.float64]:
        """Lab queries that exchanges stand for; NaN where the mapping is by share and nothing was planned."""
        got = np.asarray(exchanges, np.float64)
        if self.kind == "ratio":
            return got * float(self.ratio or 0.0)
        return got / planned * (self.lab_queries or curves.largest) if planned > 0 else np.full(got.shape, np.nan)
