"""Distillation from the k logprobs that an API sells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from configs.errors import ConfigError, require
from lm.later import torch
from student.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch

_NEVER = -1e30
"""Stands for log 0 where a gradient passes: finite, and exp gives exactly 0."""


@dataclass(frozen=True)
class TopKKL(Objective):
    """Forward KL from the sold distribution to the student's, over k listed tokens and one bin for all others.

    With p the sold probabilities of the listed tokens S at a position and q the student's, both sides become
    distributions over k + 1 bins, the last holding 1 − Σ_{i∈S} p_i and Σ_{i∉S} q_i, and the loss is
    Hinton et al.'s KL at temperature T between the bins: T² Σ_b P_b (log P_b − log Q_b), P_b ∝ p_b^{1/T}, Q_b ∝ q_b^{1/T}.
    With k = V the last bin is empty and this is dense distillation at temperature T; with one listed token of
    probability 1 (an API that names the argmax only) at T = 1 it is cross-entropy on that token.

    Positions about which nothing was sold (public data, prompts of another API) get cross-entropy on their token.

    Numerics: float32 throughout. The sold tail is log1mexp of the listed mass; the student's is a logsumexp over the
    unlisted logits, never one minus a sum. Sold mass above 1 (noise, rounding) is scaled back to 1 and leaves the tail
    bin 0; an empty bin on the sold side contributes 0 whatever the student gives it.

    Args:
        temperature: T, applied to the bins of both sides.
        ce_weight: share of plain cross-entropy on the sampled token, in [0, 1].
    """

    name: ClassVar[str] = "topk_kl"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Hinton et al. 2015, arXiv 1503.02531, section 2; top-k with a tail bin: MoatBench"
    needs_top_logprobs: ClassVar[bool] = True
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {"temperature": (1.0, 2.0), "ce_weight": (0.0, 0.5)}

    temperature: float = 1.0
    ce_weight: float = 0.0

    def __post_init__(self) -> None:
        require(self.temperature > 0, "temperature", self.temperature, "must be positive")
        require(0 <= self.ce_weight <= 1, "ce_weight", self.ce_weight, "must lie in [0, 1]")

    def losses(self, logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Objective.losses`. Raises `ConfigError` for a batch without any column of logprobs."""
        if batch.top_ids_BTK is None or batch.top_logprobs_BTK is None:
            raise ConfigError("attack.objective", "topk_kl", "needs top_logprobs, and the harvest holds none")
        logits_BTV = logits_BTV.float()
        ce_BT = torch.nn.functional.cross_entropy(logits_BTV.transpose(1, 2), batch.target_BT, reduction="none")
        listed_BTK = (batch.top_ids_BTK >= 0) & torch.isfinite(batch.top_logprobs_BTK)
        ids_BTK = batch.top_ids_BTK.clamp_min(0)
        sold_BTC = sold_bins(batch.top_logprobs_BTK, listed_BTK, logits_BTV.shape[-1])
        student_BTC = student_bins(logits_BTV, ids_BTK, listed_BTK)
        kl_BT = self.temperature**2 * _kl(
            (sold_BTC / self.temperature).log_softmax(-1), (student_BTC / self.temperature).log_softmax(-1)
        )
        mixed_BT = (1 - self.ce_weight) * kl_BT + self.ce_weight * ce_BT
        return torch.where(listed_BTK.any(-1), mixed_BT, ce_BT), batch.weight_BT


def sold_bins(logprobs_BTK: Tensor, listed_BTK: Tensor, vocabulary: int) -> Tensor:
    """(B, T, K+1) log-masses of the listed tokens and of the tail; `_NEVER` for an empty bin. They sum to 1, except where
    more than 1 was sold (the softmax over bins then scales it back) or all V tokens are listed.

    Args:
        logprobs_BTK: sold logprobs.
        listed_BTK: where they mean anything.
        vocabulary: V; where all V tokens are listed there is no tail.
    """
    told_BTK = torch.where(listed_BTK, logprobs_BTK.float(), _NEVER)
    mass_BT = told_BTK.logsumexp(-1)
    tail_BT = torch.where(listed_BTK.sum(-1) < vocabulary, log1mexp(mass_BT), _NEVER)
    return torch.cat([told_BTK, tail_BT.unsqueeze(-1)], -1)


def student_bins(logits_BTV: Tensor, ids_BTK: Tensor, listed_BTK: Tensor) -> Tensor:
    """(B, T, K+1) unnormalised log-masses of the student for the same bins; `_NEVER` where nothing is listed."""
    b, t, v = logits_BTV.shape
    told_BTK = torch.where(listed_BTK, logits_BTV.gather(-1, ids_BTK), _NEVER)
    place_BTK = torch.where(listed_BTK, ids_BTK, v)
    outside = torch.ones((b, t, v + 1), dtype=torch.bool, device=logits_BTV.device).scatter_(-1, place_BTK, False)
    tail_BT = torch.where(outside[..., :v], logits_BTV, _NEVER).logsumexp(-1)
    return torch.cat([told_BTK, tail_BT.unsqueeze(-1)], -1)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 − e^x) for x ≤ 0, accurate at both ends (Mächler 2012); `_NEVER` for x ≥ 0."""
    below = x.clamp_max(-1e-38)
    near = torch.log(-torch.expm1(below.clamp_min(-1.0)))
    far = torch.log1p(-torch.exp(below))
    return torch.where(x >= 0, _NEVER, torch.where(x > -0.6931472, near, far))


def _kl(sold_BTC: Tensor, student_BTC: Tensor) -> Tensor:
    """(B, T) Σ_b P_b (log P_b − log Q_b), bins without sold mass left out."""
    p_BTC = sold_BTC.exp()
    return torch.where(p_BTC > 0, p_BTC * (sold_BTC - student_BTC), 0.0).sum(-1)
