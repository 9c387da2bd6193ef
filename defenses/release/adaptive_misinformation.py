"""Adaptive misinformation: where the teacher is not at home, a model answers that was taught what is wrong."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import expit

from configs.errors import ConfigError
from configs.ranges import at_least, between, more_than
from defenses.base import Defense, Preparation, Prepared, ReleaseContext
from defenses.release.student_reading import of_ids, require_same_tokens, student_probs
from defenses.release.told import told_of, with_told
from defenses.strength import Strength
from lm.later import torch
from lm.ragged import Ragged
from lm.types import Channel
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from lm.examples import Examples
    from lm.language_model import LanguageModel
    from lm.types import ResponseFormat

WRONG = "wrong."


@dataclass(frozen=True)
class AdaptiveMisinformation(Defense):
    """Sells (1 − a) y + a·y_mis with a = 1 / (1 + exp(ν(s − τ))), where s is how sure the teacher is: the largest of y.

    y_mis is what a model says that was taught what is wrong, so that whoever asks what lies far from the teacher's own
    traffic learns the opposite, while honest users, whose questions make the teacher sure (s above τ), see nothing of it.
    Every token is a question here, and s its confidence: the paper's inlier score, of a teacher that it has trained with
    outliers beside, which a language model's provider has none of. The paper's misinformation model minimises the
    probability of the right class; this one, a student-sized model, is trained on the teacher's clean traces with every
    token of trace and answer in the place of which the format knows a wrong one of its kind (`ResponseFormat.corrupted`)
    replaced, which keeps the form and inverts the content. It is run on the text that the client sees.

    Prepared: ``wrong.<parameter>`` of the misinformation model; nothing at τ = 0. In the mini world this takes 2 to 3
    seconds of one core.

    Args:
        tau: τ, in [0, 1]; 0 changes nothing.
        nu: ν, how sharp the threshold is; the paper uses 1000.
        rows: traces that the misinformation model is trained on.
        steps: most optimizer steps of it.
    """

    name: ClassVar[str] = "adaptive_misinformation"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Kariyappa & Qureshi, CVPR 2020, arXiv 1911.07100, equations 3 to 6"
    checked: ClassVar[str] = "the mixture row by row; its bounds"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)
    trains: ClassVar[bool] = True
    reads_logprobs: ClassVar[int] = -1
    strength: ClassVar[Strength | None] = Strength("tau", 0, 1)
    prepared_from: ClassVar[tuple[str, ...] | None] = ("rows", "steps")

    tau: float
    nu: float = 1000.0
    rows: int = 500
    steps: int = 60

    def __post_init__(self) -> None:
        between(self, 0, 1, "tau")
        more_than(self, 0, "nu")
        at_least(self, 1, "rows", "steps")

    def prepare(self, context: Preparation) -> Prepared:
        """The misinformation model's parameters."""
        proxy = context.proxy()
        require_same_tokens(self.name, context.teacher.vocab, proxy.vocab)
        wrong = misinformed(context.clean_traces(self.rows), context.teacher.format, context.rng)
        taught = context.fit(wrong, self.steps)
        found = {name: p.detach().cpu().clone() for name, p in taught.model.named_parameters()}
        if set(found) != {name for name, _ in proxy.model.named_parameters()}:
            reason = "is trained beside its base model, where only whole models can be kept as misinformation model"
            raise ConfigError("defense.adaptive_misinformation", type(taught.model).__name__, reason)
        return {f"{WRONG}{name}": p for name, p in found.items()}

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Change what is told of each token."""
        told = told_of(responses)
        if self.tau == 0 or not len(told.place):
            return responses
        liar = _liar(context.serving.proxy(), context.serving.prepared)
        wrong = of_ids(student_probs(liar, responses, context)[told.place], told.ids)
        share = expit(-self.nu * (told.probs.max(1) - self.tau))[:, None]
        return with_told(responses, told, (1 - share) * told.probs + share * wrong)


def misinformed(rows: Examples, format: ResponseFormat, rng: np.random.Generator) -> Examples:
    """Training rows in which every token of trace and answer that can be wrong is."""
    said = np.isin(rows.channel, (Channel.TRACE, Channel.ANSWER))
    values = rows.completions.values.copy()
    values[said] = [format.corrupted(int(token), rng) for token in values[said]]
    return replace(rows, completions=Ragged(values, rows.completions.offsets))


def _liar(proxy: LanguageModel, prepared: Prepared) -> LanguageModel:
    model = copy.deepcopy(proxy.model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(prepared[f"{WRONG}{name}"])
    return proxy.with_model(model.eval())
