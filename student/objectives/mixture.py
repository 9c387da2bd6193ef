"""Several objectives at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from configs.errors import ConfigError, require
from lm.later import torch
from student.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from lm.batch import Batch


@dataclass(frozen=True)
class Term:
    """One objective of a mixture.

    Args:
        weight: what its loss is multiplied by, above 0.
        objective: what is minimised.
    """

    weight: float
    objective: Objective

    def __post_init__(self) -> None:
        require(self.weight > 0, "weight", self.weight, "must be positive")


@dataclass(frozen=True)
class Mixture(Objective):
    """The weighted sum of other objectives, each on every target: Σ_i w_i · L_i.

    A target's loss is Σ_i w_i (u_i / u) l_i, with l_i and u_i what objective i gives as its loss and weight and u the weight
    that the rows give; it weighs u. Where an objective takes the rows' weights as they are, as all here do that see the
    trace, the mixture's loss is exactly w_i times that objective's own, added up.

    The terms see the same rows, so all of them have to use the trace, or none; the API has to sell what any of them needs.

    Args:
        terms: at least one, by names of the user's choice.
    """

    name: ClassVar[str] = "mixture"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Hinton et al. 2015, arXiv 1503.02531, section 2 (a weighted average of two objectives)"

    terms: Mapping[str, Term]

    def __post_init__(self) -> None:
        require(len(self.terms) > 0, "terms", dict(self.terms), "must name an objective")
        if len({term.objective.uses_trace for term in self.terms.values()}) > 1:
            answers = [name for name, term in self.terms.items() if not term.objective.uses_trace]
            raise ConfigError(
                "terms", ", ".join(answers), "learns from rows without their trace, and other terms do not"
            )

    @property
    def needs_top_logprobs(self) -> bool:  # type: ignore[override]
        """Whether one of the terms does."""
        return any(term.objective.needs_top_logprobs for term in self.terms.values())

    @property
    def uses_trace(self) -> bool:  # type: ignore[override]
        """Whether the terms do."""
        return all(term.objective.uses_trace for term in self.terms.values())

    def losses(self, logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Objective.losses`."""
        given_BT = batch.weight_BT
        total_BT = torch.zeros_like(given_BT)
        for term in self.terms.values():
            loss_BT, weight_BT = term.objective.losses(logits_BTV, batch)
            share_BT = torch.where(given_BT != 0, weight_BT.detach() / torch.where(given_BT != 0, given_BT, 1.0), 0.0)
            total_BT = total_BT + term.weight * share_BT * loss_BT
        return total_BT, given_BT
