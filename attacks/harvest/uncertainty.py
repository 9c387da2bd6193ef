"""Active harvest: ask where the attacker's own student is unsure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from attacks.base import HarvestContext
from attacks.client import Harvested
from attacks.harvest.active import Active
from configs.errors import ConfigError
from lm.types import Sampling

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

Measure = Literal["entropy", "least_confidence"]
MEASURES = ("entropy", "least_confidence")


@dataclass(frozen=True)
class Uncertainty(Active):
    """Adaptive: trains a student on what it has, asks next where that student is least sure, until the budget is spent.

    ActiveThief's uncertainty strategy, carried from one softmax per input to sequences: the student answers each
    candidate greedily, y_1 … y_T (its end of sequence included, tools not run), and with q_t its next-token
    distribution at τ = 1 after y_1 … y_{t-1} the candidate scores

    - ``entropy``: (1/T) Σ_t H(q_t), nats; at T = 1 the paper's H(ỹ) = −Σ_j ỹ_j log ỹ_j;
    - ``least_confidence``: −(1/T) Σ_t log q_t(y_t).

    The mean over tokens keeps long answers from winning by length. See `Active` for the rounds and the other fields.

    Args:
        measure: how unsure, see above.
    """

    name: ClassVar[str] = "uncertainty"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Pal et al. 2020 (ActiveThief), AAAI 34(01); token mean: Settles & Craven 2008"
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {"measure": MEASURES}

    measure: Measure = "entropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.measure not in MEASURES:
            raise ConfigError("measure", self.measure, "is not a measure of uncertainty", MEASURES)

    def unsure(self, texts: list[str], harvested: Harvested, context: HarvestContext) -> NDArray[np.float64]:
        """See `Active.unsure`."""
        student = context.fit(harvested) if len(harvested) else context.student()
        return uncertainty(student, texts, self.measure, self.max_tokens)


def uncertainty(student: LanguageModel, texts: list[str], measure: Measure, max_tokens: int) -> NDArray[np.float64]:
    """(R,) how unsure the student is of each prompt, nats a token; see `Uncertainty` for the measures."""
    prompts = student.encode_prompts(texts)
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    answers = student.generate(prompts, sampling, np.zeros(len(texts), np.int64)).tokens
    scores = student.score(prompts, answers)
    value = scores.entropy if measure == "entropy" else -scores.logprob
    total = np.bincount(answers.row_of_value, value.astype(np.float64), minlength=len(texts))
    return total / np.maximum(answers.lengths, 1)
