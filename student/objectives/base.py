"""What a student minimises. An objective sees logits and a batch, never the teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from configs.identity import Part

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch


class Objective(Part, ABC):
    """A loss: a frozen dataclass whose fields are its configuration.

    ``needs_top_logprobs``: whether the API must sell top-k logprobs (and teacher and student share a tokenizer).
    ``uses_trace``: whether the student sees the trace at all; where it does not, the rows go through
    `student.objectives.sft_answers.strip_trace` before training.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str]
    needs_top_logprobs: ClassVar[bool] = False
    uses_trace: ClassVar[bool] = True

    @abstractmethod
    def losses(self, logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of each target and its weight, both (B, T). A row may be one sequence or a member's sequences end to end:
        no target's loss depends on another's. Weights may depend on the logits; no gradient goes through them, and a
        target whose ``batch.weight_BT`` is 0 is not learnt whatever weight it gets."""

    def loss(self, logits_BTV: Tensor, batch: Batch) -> Tensor:
        """Scalar loss: the weighted mean over targets."""
        from lm.train import weighed

        return weighted_mean(*weighed(self.losses, logits_BTV, batch))


def weighted_mean(loss_BT: Tensor, weight_BT: Tensor) -> Tensor:
    """Σ w·l / Σ w, and 0 for a batch without any weight."""
    return (loss_BT * weight_BT).sum() / weight_BT.sum().clamp_min(1e-9)
