"""Mode-seeking distillation from the k logprobs that an API sells: the mirror of `student.objectives.topk_kl`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from configs.errors import ConfigError, require
from lm.later import torch
from student.objectives.base import Objective
from student.objectives.topk_kl import sold_bins, student_bins

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch


@dataclass(frozen=True)
class ReverseTopKKL(Objective):
    """Reverse KL from the student's distribution to the sold one, over k listed tokens and one bin for all others.

    With P the sold and Q the student's distribution over the k + 1 bins of `TopKKL`, both at temperature T, the loss of a
    position is T² Σ_b Q_b (log Q_b − log P_b): a student that cannot hold all of P keeps to what P is sure of, where the
    forward KL makes it cover everything. Positions about which nothing was sold get cross-entropy on their token.

    Where P gives a bin nothing, KL(Q ‖ P) would be infinite for every student. An API that rounds, cuts or names the argmax
    only sells such bins, so P is first raised to ``floor`` in every bin that can hold mass, and scaled back to 1: the loss
    is then at most about T log(1/floor), 0 exactly where Q is that P, and drives Q out of what P rules out. Bins that no
    token can be in (unused places of the list; the tail where all V tokens are listed) have no part in it.

    The paper minimises the reverse KL of whole *sequences* by policy gradient on the student's own samples, with the teacher
    at hand. This is the part of its gradient that needs one position (its "single-step" part), on whatever rows there are:
    with harvest ``random`` on the teacher's answers, with ``on_policy`` on the student's own.

    Args:
        temperature: T, applied to the bins of both sides.
        floor: least share of a bin on the sold side, in (0, 0.1]; the default is above the noise of float32 in 1 − Σ p.
    """

    name: ClassVar[str] = "reverse_topk_kl"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Gu et al. 2024 (MiniLLM), ICLR, arXiv 2306.08543, section 2 (by position); top-k with a tail bin: MoatBench"
    )
    needs_top_logprobs: ClassVar[bool] = True

    temperature: float = 1.0
    floor: float = 1e-6

    def __post_init__(self) -> None:
        require(self.temperature > 0, "temperature", self.temperature, "must be positive")
        require(0 < self.floor <= 0.1, "floor", self.floor, "must lie in (0, 0.1]")

    def losses(self, logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Objective.losses`. Raises `ConfigError` for a batch without any column of logprobs."""
        if batch.top_ids_BTK is None or batch.top_logprobs_BTK is None:
            raise ConfigError("attack.objective", "reverse_topk_kl", "needs top_logprobs, and the harvest holds none")
        logits_BTV = logits_BTV.float()
        ce_BT = torch.nn.functional.cross_entropy(logits_BTV.transpose(1, 2), batch.target_BT, reduction="none")
        listed_BTK = (batch.top_ids_BTK >= 0) & torch.isfinite(batch.top_logprobs_BTK)
        vocabulary = logits_BTV.shape[-1]
        tail_BT1 = listed_BTK.sum(-1, keepdim=True) < vocabulary
        real_BTC = torch.cat([listed_BTK, tail_BT1], -1)
        sold_BTC = sold_bins(batch.top_logprobs_BTK, listed_BTK, vocabulary).log_softmax(-1)
        raised_BTC = torch.where(real_BTC, sold_BTC.clamp_min(math.log(self.floor)), sold_BTC)
        student_BTC = student_bins(logits_BTV, batch.top_ids_BTK.clamp_min(0), listed_BTK)
        log_p = (raised_BTC / self.temperature).log_softmax(-1)
        log_q = (student_BTC / self.temperature).log_softmax(-1)
        kl_BT = (log_q.exp() * (log_q - log_p)).sum(-1)  # a bin of −1e30 on both sides adds exactly 0
        return torch.where(listed_BTK.any(-1), self.temperature**2 * kl_BT, ce_BT), batch.weight_BT
