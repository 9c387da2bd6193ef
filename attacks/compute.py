"""What an attacker may spend on his own machines once the API is closed to him: the fourth axis of the threat model, since
defenses that hold after distillation can fall to what comes after it (arXiv 2609.35699)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
    """What an attacker can spend of his own after the harvest, besides training the student on what he harvested: on recover
    steps that train or sample models of his own, and on refining. What a harvest trains in between does not count.

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


class Reservation:
    """Tokens that are set aside for a draw whose length shows afterwards.

    Args:
        meter: in which they count as spent.
        tokens: how many.
    """

    def __init__(self, meter: ComputeMeter, tokens: int) -> None:
        self.tokens = tokens
        self._meter, self._open = meter, True

    def settle(self, tokens: int) -> None:
        """Keep what was drawn as spent, and set the rest free. A reservation that is never settled stays spent.

        Args:
            tokens: drawn, at most as many as were set aside.
        """
        assert self._open, "settled already"
        assert 0 <= tokens <= self.tokens, f"{tokens} drawn of {self.tokens} reserved"
        self._open = False
        self._meter.tokens -= self.tokens - tokens


class ComputeMeter:
    """Keeps account of own compute and refuses what goes over.

    Args:
        allowed: most of each.
        spent: of it before, by name.

    Attributes:
        samples: spent or reserved so far; so ``tokens``, ``steps``.
    """

    def __init__(self, allowed: Compute, spent: Mapping[str, int] = MappingProxyType({})) -> None:
        self.allowed = allowed
        self.samples, self.tokens, self.steps = (int(spent.get(what, 0)) for what in ("samples", "tokens", "steps"))

    @property
    def spent(self) -> dict[str, int]:
        """By name."""
        return {"samples": self.samples, "tokens": self.tokens, "steps": self.steps}

    def left(self, what: str) -> int:
        """How many samples, tokens or steps are left."""
        return int(getattr(self.allowed, what) - getattr(self, what))

    def book(self, samples: int = 0, tokens: int = 0, steps: int = 0) -> None:
        """Count what is about to be done. What is booked stays spent.

        Raises:
            ComputeExceededError: more than there is; nothing of it is counted.
        """
        asked = {"samples": samples, "tokens": tokens, "steps": steps}
        for what, number in asked.items():
            assert number >= 0, f"{number} {what} booked"
            if number > self.left(what):
                raise ComputeExceededError(what, getattr(self, what) + number, getattr(self.allowed, what))
        for what, number in asked.items():
            setattr(self, what, getattr(self, what) + number)

    def reserve(self, samples: int, tokens: int) -> Reservation:
        """Count responses that are about to be drawn, and set aside the most tokens that they can have.

        Raises:
            ComputeExceededError: more than there is; nothing of it is counted.
        """
        self.book(samples, tokens)
        return Reservation(self, tokens)
