"""What a student minimises. An objective sees logits and a batch, never the teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from configs.identity import Part

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch


class Objective(Part, ABC):
    """A loss: a frozen dataclass whose fields are its configuration.

    ``needs_top_logprobs``: whether the API must sell top-k logprobs (and teacher and student share a tokenizer).
    ``uses_trace``: whether the student sees the trace at all; where it does not, the rows go through
    `student.objectives.sft_answers.strip_trace` before training. ``tunes``: the fields that a search for the strongest
    attack changes, each with the values that are worth trying.

    The Brier score of the next token, Σ_v (p_v − y_v)², as an example; the second target has no weight:

    >>> import torch
    >>> from dataclasses import dataclass
    >>> from torch.nn.functional import one_hot
    >>> from lm.batch import Batch
    >>> @dataclass(frozen=True)
    ... class Brier(Objective):
    ...     name: ClassVar[str] = "brier"
    ...     version: ClassVar[int] = 1
    ...     source: ClassVar[str] = "Brier 1950"
    ...
    ...     def losses(self, logits_BTV, batch):
    ...         wanted_BTV = one_hot(batch.target_BT, logits_BTV.shape[-1])
    ...         return (logits_BTV.softmax(-1) - wanted_BTV).square().sum(-1), batch.weight_BT
    >>> ids = torch.tensor([[1, 3]])
    >>> batch = Batch(input_BT=ids, target_BT=ids, weight_BT=torch.tensor([[1.0, 0.0]]), channel_BT=ids, mask_BT=ids)
    >>> float(Brier().loss(torch.zeros(1, 2, 4), batch))  # p is 1/4 everywhere: (3/4)² + 3 (1/4)²
    0.75
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str]
    needs_top_logprobs: ClassVar[bool] = False
    uses_trace: ClassVar[bool] = True
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

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
