"""Many draws of a prompt, or a first word that the attacker chooses, undo most of what a sampling defense does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from configs.errors import require
from experiments.claims.base import Claim, require_some
from experiments.claims.between import Sought, Words, finding, often, pairs, strength_of, under
from experiments.measure.summary import Summary
from experiments.report.finding import Finding
from experiments.report.names import family_name

WORDS = Words(
    "With each prompt asked again, or its answer begun",
    "gap that {defense} opened in {family}",
    "student of {attack}, {often} queries a prompt, less the middle of the gap that {defense} opened ({family})",
)
MORE = ("queries", "hours")
"""Of the budget, in which asking again differs from asking once."""


@dataclass(frozen=True)
class AskedAgain(Claim):
    """Judged by student accuracy at one data budget D, all comparisons corrected together (Holm).

    The gap that the defense opened is that of an attacker who asks each of his D prompts once: his undefended student less
    his defended one. "Nearly undone" is it where the defended student of who asks each prompt again, Q = 2 and 4 times D, or
    begins the answer himself, stands above the middle of that gap. Where no gap is shown there is nothing to undo, and
    what is below the middle contradicts the claim. The upper student is the same for all, so nobody is credited for
    harming his own undefended student; students take the same number of steps whatever was asked.

    The paper describes attackers by a query budget, a data budget and an interface, and finds that whether antidistillation
    is effective depends on them; its models are pretrained ones. How near is "nearly" is not taken from it. Which first word
    to supply is not either: an answer of the mini world begins with a step of its own prompt, so the attacker's own model
    guesses it (`attacks.harvest.prefill`).

    Args:
        defense: that acts as text is sampled.
        strength: its, as on a command line (``0.2``, ``drop:0.05``).
        data: D, prompts that the attacker owns.
        once: attack that asks each prompt once.
        again: attack that asks each prompt several times.
        dedup: recover part of ``again`` that drops repeated answers.
        times: Q/D, queries a prompt of ``again``.
        begun: attack that begins the answers.
        families: in which.
    """

    name: ClassVar[str] = "asked_again"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C12"
    source: ClassVar[str] = (
        "Libon et al. 2026, arXiv 2606.25059 (antidistillation as a case study, Q = 1 to 4 x D; prefill)"
    )
    statement: ClassVar[str] = (
        "Asking each prompt 2 to 4 times and dropping repeated answers, or supplying the first word of each answer, closes "
        "most of the gap that antidistillation opened."
    )

    defense: str
    strength: str
    data: int
    once: str
    again: str
    dedup: str
    times: tuple[int, ...]
    begun: str
    families: tuple[str, ...]

    def __post_init__(self) -> None:
        require_some(self, "times", "families")
        strength_of(self.strength)
        require(self.data >= 1, "data", self.data, "must be at least 1")
        require(
            all(t > 1 for t in self.times), "times", self.times, "must be above 1: once is what it is compared with"
        )

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        once = self._asked(summaries, self.once, 1)
        wanted = []
        for family in self.families:
            for attack, times in [*((self.again, t) for t in self.times), (self.begun, 1)]:
                own = self._asked(summaries, attack, times)
                what = WORDS.beyond.format(defense=self.defense, attack=attack, often=times, family=family_name(family))
                wanted.append(Sought(what, pairs(own, once, [family], free=MORE)))
        title = "What asking again undoes (claim C12)"
        return finding(wanted, 0.5, ["gained"], WORDS, self.name, title)

    def _asked(self, summaries: Sequence[Summary], attack: str, times: int) -> list[Summary]:
        own = under(summaries, self.defense, self.strength, attack)
        own = [s for s in own if s.configuration.get("data") == self.data and often(s) == times]
        return [s for s in own if attack != self.again or self.dedup in str(s.configuration.get("recover")).split("+")]
