"""What an attacker may spend on his own machines once the API is closed to him: the fourth axis of the threat model, since
defenses that hold after distillation can fall to what comes after it (arXiv 2609.35699)."""

from __future__ import annotations

from dataclasses import dataclass

from configs.errors import MoatBenchError, require


class ComputeExceededError(MoatBenchError):
    """A part asked for more of the attacker's own compute than there is.

    Args:
        what: which ("samples", "tokens" or "steps").
        asked: how much it would have come to.
        allowed: how much there is.
    """

    def __init__(self, what: str, asked: int, allowed: int) -> None:
        self.what, self.asked, self.allowed = what, asked, allowed
        super().__init__(f"budget.compute.{what} = {allowed}: the attack asked for {asked}")


@dataclass(frozen=True)
class Compute:
    """What an attacker can spend of his own, besides training on what he harvested.

    Args:
        samples: most responses that he draws from models of his own.
        tokens: most tokens of these.
        steps: most optimizer steps on them.
    """

    samples: int = 40_000
    tokens: int = 2_000_000
    steps: int = 1_000

    def __post_init__(self) -> None:
        for name in ("samples", "tokens", "steps"):
            require(getattr(self, name) >= 0, f"budget.compute.{name}", getattr(self, name), "must be at least 0")


class ComputeMeter:
    """Keeps account of own compute and refuses what goes over.

    Args:
        allowed: most of each.

    Attributes:
        samples: spent so far; so ``tokens``, ``steps``.
    """

    def __init__(self, allowed: Compute) -> None:
        self.allowed = allowed
        self.samples = self.tokens = self.steps = 0

    def left(self, what: str) -> int:
        """How many samples, tokens or steps are left."""
        return int(getattr(self.allowed, what) - getattr(self, what))

    def book(self, samples: int = 0, tokens: int = 0, steps: int = 0) -> None:
        """Count what is about to be done, or has been.

        Raises:
            ComputeExceededError: more than there is; nothing of it is counted.
        """
        asked = {"samples": samples, "tokens": tokens, "steps": steps}
        for what, number in asked.items():
            if number > self.left(what):
                raise ComputeExceededError(what, getattr(self, what) + number, getattr(self.allowed, what))
        for what, number in asked.items():
            setattr(self, what, getattr(self, what) + number)
