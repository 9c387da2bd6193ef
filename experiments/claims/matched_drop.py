"""At equal cost to honest users, one defense hurts the student more than its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from experiments.claims.base import Claim, require_some
from experiments.measure.summary import Summary
from experiments.report.finding import UNMEASURED, Finding, Ground, says
from experiments.report.matched_table import Comparison, comparisons
from experiments.report.names import family_name
from experiments.report.reference import Reference
from experiments.report.sentences import fullest, matched


@dataclass(frozen=True)
class MatchedDrop(Claim):
    """Judged in each of ``families`` at the drop and under the attack where the defense can be compared with most of its
    controls, passive attacks first, the greatest of the usual drops. Which that is does not depend on the differences, which
    are corrected for all comparisons of the defense in the report.

    A control's student that does better supports the claim; one that does worse, or differs by less than
    `experiments.measure.verdict.MARGIN`, contradicts it.

    Args:
        defense: that should hurt more.
        controls: that should hurt less.
        families: in which, each by itself.
    """

    name: ClassVar[str] = "matched_drop"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C2"
    source: ClassVar[str] = "Savani et al., arXiv 2504.13146: teacher 90 to 89, student 65 to 56; 91 to 70, 61 to 25"
    statement: ClassVar[str] = (
        "At equal cost to honest users antidistillation sampling hurts the student more than temperature and than its "
        "permuted control."
    )

    defense: str
    controls: tuple[str, ...]
    families: tuple[str, ...]

    def __post_init__(self) -> None:
        require_some(self, "controls", "families")

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        found, _ = comparisons(summaries, Reference(self.defense))
        own = [self._with_controls(c) for c in found if c.reference == self.defense]
        evidence = [ground for family in self.families for ground in self._evidence(family, own)]
        return Finding(matched(found), tuple(evidence)) if evidence else None

    def _with_controls(self, found: Comparison) -> Comparison:
        """The comparison with the controls alone."""
        kept = {pair: v for pair, v in found.difference.items() if set(pair) <= {self.defense, *self.controls}}
        return replace(found, difference=kept)

    def _evidence(self, family: str, found: Sequence[Comparison]) -> list[Ground]:
        told = fullest([c for c in found if c.family == family])
        if told is None or not any(name in told.of_reference for name in self.controls):
            return []
        where = f"in {family_name(family)} at a drop of {100 * told.drop:.1f} points"
        grounds = []
        for name in self.controls:
            verdict = told.of_reference.get(name, UNMEASURED)
            said = says(verdict.reading, ["gained"], ["lost", "unchanged"])
            grounds.append(Ground(f"student less that of {name} {where}", verdict, said))
        return grounds
