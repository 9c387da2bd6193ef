"""Generalised knowledge distillation: a divergence between teacher and student that leans either way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from configs.errors import ConfigError, require
from lm.later import torch
from student.objectives.base import Objective
from student.objectives.topk_kl import sold_bins, student_bins

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch


@dataclass(frozen=True)
class GKD(Objective):
    """Generalised Jensen-Shannon divergence between the sold distribution and the student's, over k listed tokens and one
    bin for all others.

    With P the sold and Q the student's distribution over these k + 1 bins (as in `TopKKL` at T = 1) and
    M = β P + (1 − β) Q, the loss of a position is D = β KL(P ‖ M) + (1 − β) KL(Q ‖ M). D/β tends to the forward
    KL(P ‖ Q) for β → 0, and D/(1 − β) to the reverse KL(Q ‖ P) for β → 1, which lets a small student leave out what it
    cannot hold. D is at most log 2 (at β = 1/2), also where one side gives a bin nothing.

    The paper trains on the student's own answers, scored by the teacher: harvest `on_policy`. Positions about which nothing
    was sold get cross-entropy on their token.

    Args:
        beta: β, in (0, 1).
    """

    name: ClassVar[str] = "gkd"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Agarwal et al. 2024 (GKD), ICLR, arXiv 2306.13649, eq. 1; top-k with a tail bin: MoatBench"
    needs_top_logprobs: ClassVar[bool] = True
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {"beta": (0.1, 0.5, 0.9)}

    beta: float = 0.5

    def __post_init__(self) -> None:
        require(0 < self.beta < 1, "beta", self.beta, "must lie between 0 and 1")

    def losses(self, logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Objective.losses`. Raises `ConfigError` for a batch without any column of logprobs."""
        if batch.top_ids_BTK is None or batch.top_logprobs_BTK is None:
            raise ConfigError("attack.objective", "gkd", "needs top_logprobs, and the harvest holds none")
        logits_BTV = logits_BTV.float()
        ce_BT = torch.nn.functional.cross_entropy(logits_BTV.transpose(1, 2), batch.target_BT, reduction="none")
        listed_BTK = (batch.top_ids_BTK >= 0) & torch.isfinite(batch.top_logprobs_BTK)
        sold_BTC = sold_bins(batch.top_logprobs_BTK, listed_BTK, logits_BTV.shape[-1])
        student_BTC = student_bins(logits_BTV, batch.top_ids_BTK.clamp_min(0), listed_BTK)
        jsd_BT = jensen_shannon(sold_BTC.log_softmax(-1), student_BTC.log_softmax(-1), self.beta)
        return torch.where(listed_BTK.any(-1), jsd_BT, ce_BT), batch.weight_BT


def jensen_shannon(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """β KL(P ‖ M) + (1 − β) KL(Q ‖ M), M = β P + (1 − β) Q, over the last dimension; a bin that is empty on a side adds
    nothing to that side's divergence.

    Args:
        log_p: (..., C) log-probabilities, very negative and finite for an empty bin.
        log_q: the same of the other side.
        beta: in (0, 1).
    """
    log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log1p(-beta))
    return beta * _kl(log_p, log_m) + (1 - beta) * _kl(log_q, log_m)


def _kl(log_p: Tensor, log_m: Tensor) -> Tensor:
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_m), 0.0).sum(-1)
