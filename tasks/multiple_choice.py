"""A dataset of multiple-choice questions as a task: options of many shapes, listed with letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from configs.errors import ConfigError, require
from tasks.dataset import DatasetTask
from tasks.dataset_rows import Row, text_of
from tasks.options import ANSWERS, LETTERS, answer_at, options_of


@dataclass(frozen=True)
class MultipleChoice(DatasetTask):
    """Rows with a question, its options and the right one; the fields are those of `DatasetTask` and these.

    ``{question}`` stands for the question and its options below it: the same question with other options is another item.
    ``answer`` is the column that says which option is right.

    Args:
        options: the column of the options, or one column for each; see `tasks.options.options_of`.
        answer_as: how the answer names its option: by its ``label`` (a letter where the options have none), ``index`` or
            ``text``.
        first_index: index of the first option, for ``index``.
    """

    name: ClassVar[str] = "multiple_choice"
    version: ClassVar[int] = 1
    changes: ClassVar[Mapping[int, str]] = {}
    source: ClassVar[str] = "Clark et al. 2018, arXiv 1803.05457; Hendrycks et al. 2021, arXiv 2009.03300"
    checkers: ClassVar[tuple[str, ...]] = ("choice",)

    checker: str = "choice"
    options: tuple[str, ...] = ("choices",)
    answer_as: str = "label"
    first_index: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.options) and all(self.options), "options", self.options, "must name a column, or several")
        if self.answer_as not in ANSWERS:
            raise ConfigError("answer_as", self.answer_as, "is not a way to name an option", ANSWERS)
        require(self.first_index in (0, 1), "first_index", self.first_index, "must be 0 or 1")

    def _question(self, row: Row, at: str) -> str:
        question = text_of(row, "question", self.question, at)
        return f"{question}\n{options_of(row, self.options, at).listed()}"

    def _solution(self, row: Row, at: str) -> tuple[str, str]:
        options = options_of(row, self.options, at)
        return "", LETTERS[answer_at(row, self.answer, self.answer_as, self.first_index, options, at)]
