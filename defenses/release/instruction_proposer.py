"""A language model that proposes instructions for a rewriter, in view of those tried so far. Knows nothing of how they were
scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from defenses.release.model_rewriter import words
from lm.by_spec import opened
from lm.types import Sampling

if TYPE_CHECKING:
    from lm.huggingface import Pretrained

ASKED = 3
"""Proposals that are drawn each time, as in the authors' code."""
SHOWN = 10
"""Most instructions that a proposer sees, the best ones, as in the authors' code."""
MOST = 1024
"""Tokens that a proposal may have, the thinking before it included."""

QUESTION = """\
A model rewrites the reasoning of a teacher under an instruction. Below are instructions that were tried, each with its \
score: the percentage of test questions that a student got wrong who had learned from the reasoning rewritten so. They \
stand in ascending order of their scores; a higher score is better.

{tried}

Write one new instruction that is different from all of these and scores higher. Reasoning rewritten under it must stay \
right: the same facts, the same numbers. Write the instruction and nothing else."""


@dataclass(frozen=True)
class InstructionProposer:
    """Optimisation by prompting (OPRO, arXiv 2309.03409): the model reads instructions with their scores and writes others.

    Args:
        spec: the model.
    """

    spec: Pretrained

    def __call__(self, scores: Mapping[str, float], rng: np.random.Generator) -> list[str]:
        """What it did not finish is left out.

        Args:
            scores: of instructions, in [0, 1]; higher is better.
            rng: explicit generator.

        Returns:
            At most `ASKED` texts, each once; none where the question leaves the model no room.
        """
        lm = opened(self.spec)
        asked = lm.encode_prompts([question(scores)] * ASKED)
        room = MOST if lm.positions is None else min(MOST, lm.positions - int(asked.lengths[0]))
        if room <= 0:
            return []
        drawn = lm.generate(asked, Sampling(1.0, room), rng.integers(0, 2**62, ASKED))
        return [text for text in dict.fromkeys(words(drawn, lm, self.spec)) if text]


def question(scores: Mapping[str, float]) -> str:
    """What a proposer is asked: the best instructions in ascending order, scores in percent."""
    best = sorted(scores, key=lambda instruction: scores[instruction])[-SHOWN:]
    return QUESTION.format(tried="\n\n".join(f"Instruction: {one}\nScore: {100 * scores[one]:.0f}" for one in best))
