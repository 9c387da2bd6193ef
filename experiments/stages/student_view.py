"""Puts harvested rows into the form a student can learn from: its objective's view, its own tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from configs.errors import ConfigError
from lm.examples import Examples
from student.objectives.base import Objective
from student.objectives.sft_answers import strip_trace
from student.translate import translate

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


def for_student(rows: Examples, served: LanguageModel, student: LanguageModel, objective: Objective) -> Examples:
    """Rows in the student's tokens and chat template, without traces where the objective does not use them.

    Raises:
        ConfigError: the objective compares token logprobs, but the two models have different tokenizers.
    """
    if not objective.uses_trace:
        rows = strip_trace(rows)
    if objective.needs_top_logprobs and served.vocab != student.vocab:
        reason = "compares token logprobs, but teacher and student have different tokenizers"
        raise ConfigError("attack.objective", type(objective).__name__, reason)
    return translate(rows, served, student)
