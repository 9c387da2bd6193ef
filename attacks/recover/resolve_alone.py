"""Solve the prompts without the teacher's working, and keep what comes to his answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Recover, RecoverContext
from attacks.recover.retelling import answers, own_words, retold
from configs.ranges import at_least
from lm.examples import Examples


@dataclass(frozen=True)
class ResolveAlone(Recover):
    """Throws the teacher's workings away and keeps of him prompts and answers: the attacker's own model, as it was before
    any query, answers each prompt at temperature 1, and its response is learnt where its answer is the teacher's.

    What a student learns from this it could have learnt from anybody who knows the answers. The difference to imitation is
    what the workings were needed for, and no defense of the workings matters to it. It is rejection sampling with the
    teacher in the place of the references (one round of STaR, without its hints).

    Rows that show no answer are dropped, as are those that no response agrees with or that own compute cannot pay. Rows
    from elsewhere stay as they are.

    Args:
        tries: most responses drawn for a row, until one has its answer.
    """

    name: ClassVar[str] = "resolve_alone"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Zelikman et al. 2022 (STaR), arXiv 2203.14465, with a teacher's answers; MoatBench"
    adaptive: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    tries: int = 8

    def __post_init__(self) -> None:
        at_least(self, 1, "tries")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept; rows from elsewhere come last."""
        assert context.student is not None
        answered = np.array([bool(text.strip()) for text in answers(data, context)], np.bool_)
        known = data.where(answered | (data.item < 0))
        return retold(known, context, own_words(context, context.student()), self.tries)
