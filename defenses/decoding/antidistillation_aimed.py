"""Antidistillation sampling aimed at a student that has learnt already, instead of at the model that it starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from configs.errors import ConfigError
from defenses.base import Preparation, Serving
from defenses.decoding.antidistillation import Antidistillation

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

MODELS = ("proxy", "student")


@dataclass(frozen=True)
class AntidistillationAimed(Antidistillation):
    """Antidistillation with a choice of models: which one g is the gradient of, and which one Δ is read off.

    ``proxy`` is the public base model, at which the paper and its authors' code take both, once and before any traces are
    sampled; a student leaves it with its first step. ``student`` is that base distilled from the undefended teacher on the
    provider's own prompts. ``gradient`` and ``read`` both ``student``: g is aimed anew, at the trained weights.
    ``gradient: proxy`` with ``read: student``: g is frozen, as it was at the base, and tells what moves the trained student
    along it. Two passes a token, as in `Antidistillation`, whose formula, units and preparation are the same; nothing
    changes where both are ``proxy``. The control is `Permuted` too: sizes of Δ are in standard deviations, whatever the
    model.

    Which base and which student these are is the setting ``proxy``: another architecture (``proxy=narrow``), fewer steps
    (``proxy=stale``), another seed (``proxy=reseeded``). In the mini world (seed 0, λ = .2, ε = .003, 200 items) students
    reach .66 of reasoning aimed at the student and .64 with the frozen gradient, .63 aimed at the base, undefended .99;
    honest accuracy is .964, .951 and .945, undefended .984. Aimed at a stale student .87, at .963: nearly nothing is left.
    Aimed at the base, a narrow proxy gives .55 at .916, one of another seed .64 at .940: the mismatch costs little there.

    Args:
        gradient: the model whose loss on clean traces g is the gradient of.
        read: the model whose log-probabilities Δ is the derivative of, along g.
    """

    name: ClassVar[str] = "antidistillation_aimed"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Savani et al., arXiv 2504.13146, algorithm 1, at other models than the paper's"
    checked: ClassVar[str] = "as antidistillation; which weights the gradient is taken at, by autograd"
    passes: ClassVar[float] = 2
    uses: ClassVar[tuple[str, ...]] = MODELS
    prepared_from: ClassVar[tuple[str, ...] | None] = ("epsilon", "traces", "gradient", "read")

    gradient: Literal["proxy", "student"] = "student"
    read: Literal["proxy", "student"] = "student"

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("gradient", "read"):
            if getattr(self, field) not in MODELS:
                raise ConfigError(field, getattr(self, field), "is not a model that this defense uses", MODELS)

    def aimed(self, context: Preparation) -> tuple[LanguageModel, LanguageModel]:
        """The model that g is the gradient of, and the one that Δ is read off."""
        made = {
            name: context.proxy() if name == "proxy" else context.model(name) for name in {self.gradient, self.read}
        }
        return made[self.gradient], made[self.read]

    def read_off(self, serving: Serving) -> LanguageModel:
        """The model that Δ is read off while the teacher samples."""
        return serving.model(self.read)
