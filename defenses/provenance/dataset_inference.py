"""Whether a student finds what was served likelier than what might as well have been served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from configs.ranges import at_least
from defenses.base import Defense, Detection, Evidence
from lm.ragged import Ragged
from lm.types import Channel, Sampling

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

FEWEST = 8
"""Pairs: with fewer nothing is said."""


@dataclass(frozen=True)
class DatasetInference(Defense):
    """Compares a suspect's losses on responses that were served with those on fresh responses to the same prompts.

    Maini et al. compare members with held-out texts of the same distribution, and warn that any other difference between
    the two passes for membership. Prompts that an attacker chose are no sample of the provider's (in the mini world a
    student that never met the teacher has lower losses on them too), so here the held-out text is the teacher's own: a
    second response to the same prompt, drawn now, which nobody has seen. To a model that did not learn from the first, the
    two are exchangeable; pairs that agree word for word say nothing and are left out.

    With Δs, Δr the loss (nats, whole response) of the fresh response less that of the served one, under the suspect and
    under the references (the public base model and the teacher itself), the test is of the intercept a > 0 in
    Δs = a + Σ b_r Δr + noise, by Student's t: what remains where the references find both responses equally hard. The
    covariates also take up, to first order, that served responses were drawn otherwise than fresh ones are (a watermark, a
    temperature). Of the many features of Maini et al. this is the one: the loss, against a reference's.

    Assumptions: served and fresh responses differ in nothing else that a clean student's losses show. That holds exactly
    where responses leave as they are sampled, at this temperature; not where a defense rewords them. Responses with tool
    results, and those of which a part was hidden, are left out: there is no fresh one like them. A student of the same
    teacher is clean only if it learnt from other responses: an undefended twin, asked the same with the same seeds, is not.

    Args:
        responses: most served responses that are looked at, at least 8.
        temperature: at which fresh responses are drawn, above 0: greedy ones would be what was served. They get as many
            tokens at most as the longest that was served.
    """

    name: ClassVar[str] = "dataset_inference"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Maini et al. 2021, arXiv 2104.10706; Maini et al. 2024, arXiv 2406.06443 (language models)"
    checked: ClassVar[str] = "the paired test of scipy; p uniform on clean students"

    responses: int = 600
    temperature: float = 1.0

    def __post_init__(self) -> None:
        at_least(self, FEWEST, "responses")
        require(self.temperature > 0, "temperature", self.temperature, "must be above 0")

    def asks_teacher(self) -> bool:
        """See `Hooks.asks_teacher`: it is a reference, and answers once more."""
        return True

    def detect(self, context: Detection) -> Evidence | None:
        """See the class; None where fewer than 8 pairs differ."""
        answered, teacher = context.answered(), context.serving.teacher
        served = answered.responses
        row = served.tokens.row_of_value
        tools = np.bincount(row[served.channel == Channel.TOOL], minlength=len(served)) > 0
        usable = np.flatnonzero((served.tokens.lengths > 0) & ~served.cut & ~tools)
        chosen = np.sort(context.rng.permutation(usable)[: self.responses])
        if len(chosen) < FEWEST:
            return None
        texts = [answered.prompts[int(at)] for at in answered.prompt[chosen]]
        old = served.tokens.take(chosen)
        sampling = Sampling(self.temperature, int(old.lengths.max()))
        seeds = context.rng.integers(0, 2**62, len(chosen))
        new = teacher.generate(teacher.encode_prompts(texts), sampling, seeds)
        at = np.flatnonzero([a.tolist() != b.tolist() for a, b in zip(old, new.tokens, strict=True)])
        texts, old, fresh = [texts[i] for i in at], old.take(at), new.tokens.take(at)

        def gap(lm: LanguageModel) -> NDArray[np.float64]:
            return losses(lm, texts, fresh, teacher) - losses(lm, texts, old, teacher)

        return intercept(gap(context.suspect), np.column_stack([gap(context.serving.proxy()), gap(teacher)]))


def losses(lm: LanguageModel, prompts: list[str], responses: Ragged, teacher: LanguageModel) -> NDArray[np.float64]:
    """(R,) −log p of each response in the teacher's tokens, in nats; spelt anew where ``lm`` has other tokens."""
    if lm.vocab != teacher.vocab:
        last = responses.values[responses.offsets[1:] - 1]
        ends = [[lm.tokenizer.eos_token_id] * bool(end) for end in np.isin(last, teacher.ends)]
        spelt = lm.encode(teacher.decode(responses))
        responses = Ragged.of([[*row.tolist(), *end] for row, end in zip(spelt, ends, strict=True)])
    scores = lm.score(lm.encode_prompts(prompts), responses)
    summed: NDArray[np.float64] = np.bincount(responses.row_of_value, -scores.logprob, len(responses)).astype(
        np.float64
    )
    return summed


def intercept(gaps: NDArray[np.float64], references: NDArray[np.float64]) -> Evidence | None:
    """Whether gaps (R,) are above 0 on average, given those of the references (R, M); None for fewer than 8.

    A suspect whose gaps are all told by the references' (one of these itself) gives p = 1.
    """
    from scipy.stats import t as student

    count, freedom = len(gaps), len(gaps) - 1 - references.shape[1]
    if count < FEWEST:
        return None
    known = np.column_stack([np.ones(count), references])
    inverse = np.linalg.pinv(known.T @ known)
    effect = inverse @ known.T @ gaps
    left = gaps - known @ effect
    if float(left @ left) <= 1e-9 * float(gaps @ gaps):
        return Evidence(1.0, 0.0, count)
    statistic = float(effect[0] / np.sqrt(left @ left / freedom * inverse[0, 0]))
    return Evidence(float(student.sf(statistic, freedom)), statistic, count)
