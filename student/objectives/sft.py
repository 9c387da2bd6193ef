"""Supervised fine-tuning on the completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from student.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch


@dataclass(frozen=True)
class SFT(Objective):
    """Cross-entropy on completion tokens: sequence-level knowledge distillation (Kim & Rush, arXiv 1606.07947, eq. 8
    with the teacher's samples)."""

    name: ClassVar[str] = "sft"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Kim & Rush 2016, arXiv 1606.07947"

    def losses(self, logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Objective.losses`."""
        from lm.half_entropy import cross_entropies

        loss_N = cross_entropies(logits_BTV.flatten(0, 1), batch.target_BT.flatten())
        return loss_N.view_as(batch.weight_BT), batch.weight_BT
