"""What watermarks have in common: that they are looked for in what a suspect says, each pair of context and token once."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from defenses.base import Defense, Detection, Evidence
from defenses.decoding.marks import distinct, pairs_of
from lm.ragged import Ragged
from lm.types import Sampling


class SuspectSaid(NamedTuple):
    """What a suspect answered, in tokens.

    Args:
        prompts: R prompts in its own chat template.
        answers: R answers.
    """

    prompts: Ragged
    answers: Ragged


class Watermark(Defense):
    """Base of the watermarks: `finding` says how likely what a suspect says is for one that knows nothing of the secret.

    The suspect is only asked (Sander et al., arXiv 2402.14904): it answers prompts in its own chat template at temperature
    1. Each different (context, token) of its answers counts once, and none that stands in a prompt: the suspect repeats
    itself and its prompts, and repeats are no further evidence. It calls no tools. Nothing is said of a suspect with other
    tokens than the teacher's.

    Fields that every watermark has:
        width: tokens of context.
        key: chooses the marks, with the provider's own secret (`Serving.seed`): cells of another seed have other marks.
        tokens: most tokens of each answer that `detect` asks for.
    """

    uses: ClassVar[tuple[str, ...]] = ()

    width: int
    key: int
    tokens: int

    def detect(self, context: Detection) -> Evidence | None:
        """See the class; None for another vocabulary, and where no pair is left to look at."""
        said = self.ask(context)
        return None if said is None else self.evidence(said.prompts, said.answers, context.serving.seed)

    def ask(self, context: Detection) -> SuspectSaid | None:
        """The suspect's answers; None for another vocabulary than the teacher's, and where it can say nothing."""
        suspect = context.suspect
        if suspect.vocab != context.serving.teacher.vocab or not context.prompts:
            return None
        prompts = suspect.encode_prompts(context.prompts)
        room = self.tokens if suspect.positions is None else suspect.positions - int(prompts.lengths.max())
        if room < 1:
            return None
        seeds = context.rng.integers(0, 2**62, len(prompts))
        return SuspectSaid(
            prompts, suspect.generate(prompts, Sampling(max_tokens=min(self.tokens, room)), seeds).tokens
        )

    def evidence(self, prompts: Ragged, answers: Ragged, secret: int) -> Evidence | None:
        """What R answers to R prompts show; None where no pair is left to look at."""
        said, asked = pairs_of(prompts, answers, self.width)
        different = distinct(said, but=asked)
        return self.finding(different[:, :-1], different[:, -1], secret) if len(different) else None

    def finding(self, context: NDArray[np.int64], tokens: NDArray[np.int64], secret: int) -> Evidence | None:
        """What pairs show that all differ; None where there is nothing to be seen in them.

        Args:
            context: (N, width), N at least 1.
            tokens: (N,) the token after each.
            secret: the provider's.
        """
        raise NotImplementedError
