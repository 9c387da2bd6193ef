"""The first half of each trace teaches most of what the whole one does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from experiments.claims.base import Claim, require_some
from experiments.claims.between import Sought, Words, finding, pairs, strength_of, under
from experiments.measure.summary import Summary
from experiments.report.finding import Finding
from experiments.report.names import family_name

WORDS = Words(
    "Of truncated traces",
    "gain of imitation from whole traces in {family}",
    "student of {attack} under {defense} less the middle of that gain ({family})",
)


@dataclass(frozen=True)
class FirstHalf(Claim):
    """Judged by student accuracy, all comparisons corrected together (Holm).

    The gain is what imitating whole traces adds to the student before any query. Most of it is kept where the student that
    saw the first part of each trace stands above the middle of that gain; below it contradicts the claim. Where no gain is
    shown there is nothing to keep.

    The paper trains on the first half of the tokens of prompt, trace and answer together, so its students never see the
    answer of a long trace and are not taught to stop; the attack judged here learns the same, a truncated trace as a
    beginning. Imitating the answer straight after the gap is another method: it stands in the grid and not in the verdict.
    The paper's students, pretrained ones, keep about 91 % of the accuracy of whole traces, not of what these add: half of
    the gain is less than it states. Their traces are long and repeat themselves; each step here is needed once.

    Args:
        defense: that shows the first part of each trace.
        strength: the part, as on a command line (``0.5``).
        whole: attack on whole traces.
        part: attack that learns parts of traces as beginnings.
        families: in which.
    """

    name: ClassVar[str] = "first_half"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C14"
    source: ClassVar[str] = (
        "Chen et al. 2025, arXiv 2512.21002 (the first half of the tokens keeps about 91 % of the accuracy, math benchmarks)"
    )
    statement: ClassVar[str] = (
        "Learning from the first half of the tokens of each trace keeps most of the gain of learning from whole traces."
    )

    defense: str
    strength: str
    whole: str
    part: str
    families: tuple[str, ...]

    def __post_init__(self) -> None:
        require_some(self, "families")
        strength_of(self.strength)

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        whole, part = (under(summaries, self.defense, self.strength, attack) for attack in (self.whole, self.part))
        wanted = [
            Sought(
                WORDS.beyond.format(attack=self.part, defense=self.defense, family=family_name(family)),
                pairs(part, whole, [family], "S_base"),
            )
            for family in self.families
        ]
        title = "What the first half of each trace teaches (claim C14)"
        return finding(wanted, 0.5, ["gained"], WORDS, self.name, title)
