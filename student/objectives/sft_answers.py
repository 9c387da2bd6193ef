"""Supervised fine-tuning from prompt to answer, without the working."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lm.examples import Examples
from lm.types import Channel
from student.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch


@dataclass(frozen=True)
class SFTAnswers(Objective):
    """Cross-entropy on tool calls and answers only, of rows from which the trace has been taken out.

    The student answers at once: trace tokens are neither learnt nor seen (`strip_trace`), so it is trained as it will
    be used. Should a batch still hold trace tokens, they carry no loss.
    """

    name: ClassVar[str] = "sft_answers"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Hsieh et al. 2023, arXiv 2305.02301 (standard task distillation: labels, no rationales)"
    uses_trace: ClassVar[bool] = False

    def losses(self, logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Objective.losses`."""
        from lm.half_entropy import cross_entropies

        loss_BT = cross_entropies(logits_BTV, batch.target_BT)
        learnt_BT = (batch.channel_BT == int(Channel.CALL)) | (batch.channel_BT == int(Channel.ANSWER))
        return loss_BT, batch.weight_BT * learnt_BT


def strip_trace(rows: Examples) -> Examples:
    """The rows without their trace tokens; rows that then have nothing to learn are dropped. Order is kept."""
    stripped = rows.keep_tokens(rows.channel != Channel.TRACE)
    weight = np.bincount(stripped.completions.row_of_value, stripped.weight, minlength=len(stripped))
    return stripped.where(weight > 0)
