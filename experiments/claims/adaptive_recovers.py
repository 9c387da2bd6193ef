"""A student that answers to a defense recovers part of what the defense took from one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from configs.errors import ConfigError
from experiments.claims.base import Claim, require_some
from experiments.claims.between import Sought, Words, finding, pairs, strength_of, under
from experiments.measure.summary import Summary
from experiments.report.finding import Finding
from experiments.report.names import family_name

WORDS = Words(
    "Of what passive imitation loses",
    "gap that {defense} opened in {family}",
    "student of {attack} less that of passive imitation under {defense} ({family})",
)


@dataclass(frozen=True)
class AdaptiveRecovers(Claim):
    """Judged by student accuracy, each defense and adaptive attack for itself, all comparisons corrected together (Holm).

    A defense first has to have opened a gap: the undefended student of the passive attack less the defended one. Where none
    is shown there is nothing to recover, and what an attack does under it is open. An adaptive attack supports the claim
    where its student is above the passive one's under the same defense, and contradicts it where it is lower, or within
    ± `experiments.measure.verdict.MARGIN`.

    The paper's adaptive student reweights traces by their value, taken along the gradient of traces that the undefended
    teacher wrote, which no attacker has; here that gradient is of public rows. Its models are pretrained, its tasks GSM8K
    and MATH. At γ = .6 and .7 the product of experts costs its teacher 2 to 5 points there (the authors' repository); here
    it is calibrated to cost honest users as much, since the same γ means something else for other models.

    Args:
        strengths: of each defense, as on a command line (``0.2``, ``drop:0.05``).
        passive: attack that does not answer to a defense.
        adaptive: attacks that do; the paper's own, and others.
        families: in which.
    """

    name: ClassVar[str] = "adaptive_recovers"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C4"
    source: ClassVar[str] = (
        "Allouah et al. 2026, arXiv 2605.22737 (student from passive to adaptive: 34 to 52 under antidistillation, 39 to 49 "
        "under a product of experts)"
    )
    statement: ClassVar[str] = (
        "A student that adapts recovers part of what antidistillation and product-of-experts sampling take from others."
    )

    strengths: dict[str, str] = field(default_factory=dict)
    passive: str = "imitate"
    adaptive: tuple[str, ...] = ()
    families: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_some(self, "strengths", "adaptive", "families")
        for name, word in self.strengths.items():
            try:
                strength_of(word)
            except ConfigError as error:
                raise ConfigError(f"strengths.{name}", word, error.reason, error.choices) from error

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        wanted = []
        for defense, strength in self.strengths.items():
            passive = under(summaries, defense, strength, self.passive)
            for attack in self.adaptive:
                adaptive = under(summaries, defense, strength, attack)
                for family in self.families:
                    what = WORDS.beyond.format(defense=defense, attack=attack, family=family_name(family))
                    wanted.append(Sought(what, pairs(adaptive, passive, [family])))
        title = "What adaptive students recover (claim C4)"
        return finding(wanted, 0.0, ["unchanged", "gained"], WORDS, self.name, title)
