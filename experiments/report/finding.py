"""What a report says of a claim: a verdict that follows from the evidence, and a sentence. Knows no claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Protocol

from experiments.measure.estimate import Estimate
from experiments.measure.quantity import MISSING
from experiments.measure.summary import Summary
from experiments.measure.verdict import HolmVerdict, Reading
from experiments.report.structure import Table

Says = Literal["supports", "contradicts", "open"]
Outcome = Literal["holds", "fails", "partly", "undecided"]
WHAT_VERDICTS_MEAN = (
    "Holds: all of its evidence supports the claim. Fails: some contradicts it and none supports it. Partly: some supports, "
    "some contradicts. Undecided: nothing contradicts it, and some evidence is open."
)


UNMEASURED = HolmVerdict(Estimate(None, reason=MISSING), None, "undecided")
"""What a ground rests on that no cell of the report measured; it is open."""


class Ground(NamedTuple):
    """One thing that a verdict rests on.

    Args:
        what: in words.
        found: the estimate, corrected for its family of comparisons.
        says: of the claim.
    """

    what: str
    found: HolmVerdict
    says: Says


def says(reading: Reading, supports: Sequence[Reading], contradicts: Sequence[Reading]) -> Says:
    """What a reading says of a claim; ``open`` where it is in neither list."""
    return "supports" if reading in supports else "contradicts" if reading in contradicts else "open"


@dataclass(frozen=True)
class Finding:
    """Of one claim.

    Args:
        sentence: what was found, claiming no more than the intervals support; "" where there is nothing to say.
        evidence: at least one ground.
        table: in which it can be looked up, if it has one of its own.
    """

    sentence: str
    evidence: tuple[Ground, ...]
    table: Table | None = None

    @property
    def verdict(self) -> Outcome:
        """See `WHAT_VERDICTS_MEAN`."""
        said = {ground.says for ground in self.evidence}
        if "contradicts" in said:
            return "partly" if "supports" in said else "fails"
        return "holds" if said == {"supports"} else "undecided"


class Judge(Protocol):
    """A claim, as a report needs it (`experiments.claims.base.Claim`)."""

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]
    statement: ClassVar[str]

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """What the cells of a report say of it; None where they do not let it be judged."""
