"""Which perturbation of sold probabilities hurts a student most depends on what it is matched by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from configs.errors import require
from configs.ranges import between
from experiments.claims.base import Claim
from experiments.claims.matched_l1 import (
    FEW_TOKENS,
    SMALLER_THAN_MAD,
    at_least_none,
    distance,
    first_changed,
    in_words,
    judged,
    matched_pairs,
    sold_cells,
    student_gap,
    taken,
)
from experiments.measure.quantity import difference
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.measure.verdict import HolmVerdict
from experiments.report.finding import UNMEASURED, Finding, Ground, Says, says


class _Turn(NamedTuple):
    """The strongest of what turns the order, at no more defender error than a cell of the defense.

    Args:
        own: cell of the defense.
        other: cell of what turns.
        stronger: whether it sells probabilities farther from the truth than ``own``, or changes more first tokens.
    """

    own: Summary
    other: Summary
    stronger: bool


@dataclass(frozen=True)
class RedirectionOrder(Claim):
    """Judged under one attack by student accuracy over all families, all comparisons corrected together (Holm).

    At equal L1: the rival's student less the defense's lies above -``margin`` ("at least as much"); the control's student
    less the rival's is above 0. The control is the paper's random one, as in its authors' code: a step towards a random
    vertex other than the first token's.

    At equal defender error: in the authors' results the order of these three stays (.434, .430, .385 at one point more of
    defender error; .530, .492, .398 at five). What turns is the reverse sigmoid, about random at equal L1 (.380), which then
    hurts most (.953 to .983), since it can go far from the truth and keep the first token. That is what is judged: of its
    cells that change the first listed token no more often than the defense does at ``l1``, the one farthest from the truth;
    its student has to be the lower one. Nothing is interpolated. A student that is not lower contradicts the claim only
    where it went farther than the defense. Defender error is here the share of tokens whose first listed token is not the
    teacher's; the teacher's own errors, which the paper counts as well, are left out. The accuracy of honest users says
    nothing of it: texts are drawn before probabilities are changed.

    Args:
        defense: that hurts most at equal L1.
        rival: that hurts no more.
        control: random change of what is sold, that hurts less than the rival.
        turns: that hurts more than the defense at equal defender error.
        attack: that matches sold probabilities.
        l1: distance of the first two comparisons.
        margin: student accuracy by which the defense may hurt less and still count as at least equal.
        changed: share of tokens by which defender errors may differ and still count as equal.
    """

    name: ClassVar[str] = "redirection_order"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C7"
    source: ClassVar[str] = (
        "Mazeika et al., ICML 2022, arXiv 2206.14157 (CIFAR-100, adversary error at L1 .5: .441, .426, .385; their code's "
        "notebook of results); MAD: Orekondy et al., arXiv 1906.10908"
    )
    statement: ClassVar[str] = (
        "At an L1 distance of .5 gradient redirection hurts a student at least as much as MAD, and MAD more than random "
        "vertices; at equal defender error the order turns: the reverse sigmoid hurts more than gradient redirection."
    )

    defense: str
    rival: str
    control: str
    turns: str
    attack: str
    l1: float = 0.5
    margin: float = SMALLER_THAN_MAD
    changed: float = FEW_TOKENS

    def __post_init__(self) -> None:
        require(0 < self.l1 < 2, "l1", self.l1, "must be an L1 distance between 0 and 2")
        between(self, 0, 1, "margin", "changed")

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        first = matched_pairs(summaries, self.rival, self.defense, self.attack, self.l1)
        second = matched_pairs(summaries, self.control, self.rival, self.attack, self.l1)
        turned = self._turned(summaries)
        if not first and not second and not turned:
            return None
        ordered = [*first, *second]
        compared = [*ordered, *((turn.own, turn.other) for turn in turned)]
        losses = [taken(s, POOLED) for pair in compared for s in pair]
        gaps, errors = judged(
            [
                [student_gap(a, b, POOLED) for a, b in compared],
                [difference(first_changed(turn.own), first_changed(turn.other)) for turn in turned],
            ],
            losses,
        )
        evidence = [
            *self._ordered(gaps[: len(first)], self.rival, self.defense),
            *self._ordered(gaps[len(first) : len(ordered)], self.control, self.rival),
            *self._turning(turned, gaps[len(ordered) :], errors),
        ]
        return Finding(in_words("Of perturbed probabilities", evidence), tuple(evidence))

    def _turned(self, summaries: Sequence[Summary]) -> list[_Turn]:
        found = []
        others = sold_cells(summaries, self.turns, self.attack)
        for own in sold_cells(summaries, self.defense, self.attack):
            error = first_changed(own).point
            alike = [s for s in others if s.threat == own.threat and first_changed(s).known]
            if distance(own) != self.l1 or not alike or error != error:
                continue
            cheap = [s for s in alike if first_changed(s).point <= error + self.changed]
            other = cheap[-1] if cheap else alike[0]
            found.append(_Turn(own, other, not cheap or (distance(other) or 0.0) > self.l1))
        return found

    def _ordered(self, found: Sequence[HolmVerdict], higher: str, lower: str) -> list[Ground]:
        what = f"student of {higher} less that of {lower} at L1 {self.l1:g}"
        if lower == self.defense:
            grounds = [Ground(what, v, at_least_none(v, self.margin)) for v in found]
        else:
            grounds = [Ground(what, v, says(v.reading, ["lost"], ["gained", "unchanged"])) for v in found]
        return grounds or [Ground(what, UNMEASURED, "open")]

    def _turning(
        self, turned: Sequence[_Turn], gaps: Sequence[HolmVerdict], errors: Sequence[HolmVerdict]
    ) -> list[Ground]:
        grounds = []
        for turn, gap, error in zip(turned, gaps, errors, strict=True):
            where = f"{self.defense} at L1 {self.l1:g} less {{}} {self.turns} at L1 {distance(turn.other):g}"
            matched = at_least_none(error, self.changed)
            grounds.append(Ground("tokens whose first changes: " + where.format("those of"), error, matched))
            said: Says = says(gap.reading, ["lost"], ["gained", "unchanged"] if turn.stronger else [])
            said = said if matched == "supports" else "open"
            grounds.append(Ground("student at no more defender error: " + where.format("that of"), gap, said))
        if not turned:
            where = f"student of {self.defense} at L1 {self.l1:g} less that of {self.turns} at no more defender error"
            grounds.append(Ground(where, UNMEASURED, "open"))
        return grounds
