"""Sampling at a higher temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from configs.errors import require
from defenses.base import Defense, RequestFacts, Serving
from defenses.strength import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from lm.types import Processor


@dataclass(frozen=True)
class Temperature(Defense):
    """Divides the teacher's log-probabilities by τ: the control every decoding defense must beat at equal teacher drop.

    Comes on top of the temperature the client asks for; a client who asks for greedy decoding is not affected.

    Args:
        tau: τ, at least 1 to flatten.
    """

    name: ClassVar[str] = "temperature"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "the temperature control of Savani et al., arXiv 2504.13146"
    checked: ClassVar[str] = "softmax(log p / τ)"
    strength: ClassVar[Strength | None] = Strength("tau", 1, 3)
    uses: ClassVar[tuple[str, ...]] = ()

    tau: float

    def __post_init__(self) -> None:
        require(self.tau > 0, "tau", self.tau, "must be positive")

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; needs nothing of the model. None at τ = 1."""
        return None if self.tau == 1 else _Tempered(self.tau)


class _Tempered:
    def __init__(self, tau: float) -> None:
        self.tau = tau

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores / self.tau
