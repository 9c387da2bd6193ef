"""What an attacker knows of the API he attacks, and the model of his own on which he can try out what he knows. Names no
defense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from configs.errors import require
from configs.ranges import at_least
from lm.examples import Examples
from lm.model_spec import ModelSpec
from teacher.api.interface import Interface

Level = Literal["nothing", "interface", "method", "parameters"]
LEVELS: tuple[Level, ...] = ("nothing", "interface", "method", "parameters")
"""Each includes the ones before it."""


@dataclass(frozen=True)
class Knowledge:
    """How much of the provider's side an attacker knows. Keys, seeds and models of the provider are never known.

    Args:
        level: ``nothing``: he sees answers and status codes and asks for plain text. ``interface``: what the API's
            documentation says is sold. ``method``: also which defenses act while it answers, but not how strong they are.
            ``parameters``: these too.
        shadow: a reasoner of his own, in the teacher's place where he tries out what he knows (`Rehearsed`); None for his
            student, fitted to what came back as it is.
        prompts: most prompts of his that are tried out.
    """

    level: Level = "interface"
    shadow: ModelSpec | None = None
    prompts: int = 1000

    def __post_init__(self) -> None:
        require(self.level in LEVELS, "level", self.level, f"must be one of {', '.join(LEVELS)}")
        at_least(self, 1, "prompts")

    @property
    def label(self) -> str:
        """For tables: the level, and the reasoner that it is tried out on where that is not his student."""
        return self.level if self.shadow is None else f"{self.level} on {self.shadow.label}"

    def reaches(self, level: Level) -> bool:
        """Whether he knows that much at least."""
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def of(self, interface: Interface) -> Interface:
        """What he takes the API to sell: plain text where he has not read its documentation."""
        return interface if self.reaches("interface") else Interface("unknown", trace=interface.trace)


class Rehearsed(NamedTuple):
    """Answers of a model of the attacker's own, and what an API of the kind that he knows would have made of them.

    Rows are in the model's tokens; ``item`` numbers his prompts, and no prompt has more than one row on either side. The
    same noise is drawn on both sides, so that a defense which acts after decoding leaves the tokens as they are.

    Args:
        clean: what the model said, whole, with as many logprobs a token as the API sells.
        served: what would have come back.
    """

    clean: Examples
    served: Examples
