"""Whether a student continues the watermarked texts that were served as the watermark would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from defenses.base import Defense, Detection, Evidence
from defenses.decoding.kgw import KGW
from defenses.decoding.marks import contexts, distinct
from lm.ragged import Ragged


@dataclass(frozen=True)
class KGWRadioactivity(Defense):
    """Reads the served texts with the suspect, and counts how often its most probable next token is green.

    Sander et al. tell what is known of the suspect (*closed*: it is asked; *open*: its next-token distributions are seen)
    from what is known of its training data (*supervised*: texts that it may have been trained on; *unsupervised*: others
    under the same key). `defenses.decoding.kgw.KGW.detect` is the closed test. This is the open and supervised one, their
    reading mode: the suspect is teacher-forced through the responses that were served to the accounts in question, where
    the contexts are those that it would have learnt from. At every position of a response, the token scored is not the one
    that stands there, which the watermark chose, but the suspect's own first choice.

    Each different (context, first choice) counts once. Where the same context stood earlier in the same text (prompt
    included), the position is left out: the suspect could copy a green token from there. What is left depends on the key
    through nothing that it is compared with, so that for a suspect that never met this watermark, the number of green ones
    among n is Binomial(n, γ): p = P(Binomial(n, γ) ≥ k), exactly. That holds for the undefended twin too.

    It takes γ, context and secret from the watermark that is deployed beside it, and changes no answer: one may be put
    beside a `kgw` whose harvests are stored. Nothing is said of a suspect with other tokens than the teacher's.

    Args:
        watermark: the name of that watermark in the stack.
    """

    name: ClassVar[str] = "kgw_radioactivity"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Sander et al. 2024, arXiv 2402.14904 (open model, supervised: reading mode)"
    checked: ClassVar[str] = "the binomial test over teacher-forced pairs, one by one; p uniform on clean students"
    uses: ClassVar[tuple[str, ...]] = ()

    watermark: str = "kgw"

    def beside(self) -> tuple[str, ...]:
        """See `Defense.beside`: the watermark."""
        return (self.watermark,)

    def detect(self, context: Detection) -> Evidence | None:
        """See the class; None for another vocabulary, and where no pair is left to look at."""
        deployed = context.deployed(self.watermark)
        watermark, secret = deployed.defense, deployed.serving.seed
        if not isinstance(watermark, KGW):
            reason = f"is a {type(watermark).__name__}, and not a green-list watermark (kgw)"
            raise ConfigError("defense.kgw_radioactivity.watermark", self.watermark, reason)
        suspect, teacher = context.suspect, context.serving.teacher
        answered = context.answered()
        if suspect.vocab != teacher.vocab or not len(answered.prompt):
            return None
        texts = [answered.prompts[int(at)] for at in answered.prompt]
        responses = answered.responses.tokens
        scores = suspect.score(suspect.encode_prompts(texts), responses, top_k=1)
        assert scores.top_ids is not None
        return reading(watermark, teacher.encode_prompts(texts), responses, scores.top_ids[:, 0], secret)


def reading(
    watermark: KGW, prompts: Ragged, responses: Ragged, choices: NDArray[np.integer], secret: int
) -> Evidence | None:
    """What first choices (N,) at each token of R responses to R prompts show; None where none is left to look at.

    Args:
        watermark: says which tokens are green.
        prompts: as the watermark saw them: the teacher's.
        responses: as they were served.
        choices: the suspect's most probable token where each of theirs stands.
        secret: the provider's.
    """
    whole = Ragged.of([np.concatenate(pair) for pair in zip(prompts, responses, strict=True)])
    before = contexts(whole, watermark.width)
    said = whole.position >= prompts.lengths[whole.row_of_value]
    _, first = np.unique(np.column_stack([whole.row_of_value, before]), axis=0, return_index=True)
    new = np.zeros(len(said), np.bool_)
    new[first] = True
    pairs = np.column_stack([before[said], choices])[new[said]]
    different = distinct(pairs, but=pairs[:0])
    return watermark.finding(different[:, :-1], different[:, -1], secret) if len(different) else None
