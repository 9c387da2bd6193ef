"""The reverse sigmoid keeps the first token, and what it sells hurts a student about as much as random noise does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from configs.errors import require
from configs.ranges import between
from experiments.claims.base import Claim, require_some
from experiments.claims.matched_l1 import (
    FEW_TOKENS,
    SMALLER_THAN_MAD,
    about_none,
    distance,
    first_changed,
    in_words,
    judged,
    matched_pairs,
    sold_cells,
    student_gap,
    taken,
)
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.measure.verdict import HolmVerdict
from experiments.report.finding import UNMEASURED, Finding, Ground


@dataclass(frozen=True)
class ReverseSigmoidHarmless(Claim):
    """Judged at each of ``l1``, the distances that count as a moderate strength, by three things: the share of tokens whose
    first listed token changes, what the argmax attacker's student loses, and the control's student less the defense's under
    the attacker who matches what is sold. All three are claims of "about none" and are supported by an interval inside a
    margin, not by the lack of a difference. All are corrected together (Holm).

    The argmax attacker learns the first listed token of each position (`attacks.recover.argmax_labels.ArgmaxLabels`).
    Imitating the text would not do: text is drawn by the teacher whatever is sold, so that attacker is untouched by
    construction. The paper's random control, as in its authors' code, is a step towards a random vertex other than the
    first token's.

    Args:
        defense: that is about harmless.
        control: random change of what is sold.
        attack: that matches sold probabilities.
        argmax: that learns the first listed token.
        l1: distances at which it is judged.
        margin: student accuracy, over all families, that counts as no difference.
        changed: share of tokens whose first may change and count as kept.
    """

    name: ClassVar[str] = "reverse_sigmoid_harmless"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C6"
    source: ClassVar[str] = (
        "Mazeika et al., ICML 2022, arXiv 2206.14157 (CIFAR-100, L1 .5: adversary error .380, random .385; their code's "
        "notebook of results)"
    )
    statement: ClassVar[str] = (
        "At moderate strength the reverse sigmoid keeps the most probable token, so that an attacker who learns only that "
        "loses nothing, and at equal L1 distance it hurts a student about as much as random noise."
    )

    defense: str
    control: str
    attack: str
    argmax: str
    l1: tuple[float, ...]
    margin: float = SMALLER_THAN_MAD
    changed: float = FEW_TOKENS

    def __post_init__(self) -> None:
        require_some(self, "l1")
        for l1 in self.l1:
            require(0 < l1 < 2, "l1", l1, "must be an L1 distance between 0 and 2")
        between(self, 0, 1, "margin", "changed")

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        cells, pairs, labels = self._cells(summaries)
        if not cells and not labels:
            return None
        losses = [taken(s, POOLED) for pair in pairs for s in pair]
        gaps, lost, changed = judged(
            [
                [student_gap(control, own, POOLED) for own, control in pairs],
                [taken(s, POOLED) for s in labels],
                [first_changed(s) for s in cells],
            ],
            losses,
        )
        evidence = [
            *self._grounds("tokens whose first changes at L1 {:g}", cells, changed, self.changed),
            *self._grounds("what an argmax attacker loses at L1 {:g}", labels, lost, self.margin),
            *self._grounds(
                f"student of {self.control} less its own at L1 {{:g}}", [a for a, _ in pairs], gaps, self.margin
            ),
        ]
        return Finding(in_words(f"Selling by {self.defense}", evidence), tuple(evidence))

    def _cells(
        self, summaries: Sequence[Summary]
    ) -> tuple[list[Summary], list[tuple[Summary, Summary]], list[Summary]]:
        """Cells of the attacker who matches, their pairs with the control, and cells of the argmax attacker."""
        cells, labels = (
            [s for s in sold_cells(summaries, self.defense, attack) if distance(s) in self.l1]
            for attack in (self.attack, self.argmax)
        )
        pairs = [
            pair for l1 in self.l1 for pair in matched_pairs(summaries, self.defense, self.control, self.attack, l1)
        ]
        return cells or labels, pairs, labels

    def _grounds(
        self, what: str, cells: Sequence[Summary], found: Sequence[HolmVerdict], margin: float
    ) -> list[Ground]:
        """One for each cell, and an open one for each distance that has none."""
        grounds = [
            Ground(what.format(distance(s)), verdict, about_none(verdict, margin))
            for s, verdict in zip(cells, found, strict=True)
        ]
        there = {distance(s) for s in cells}
        return grounds + [Ground(what.format(l1), UNMEASURED, "open") for l1 in self.l1 if l1 not in there]
