"""A dataset of programming problems as a task: answers are programs, and hidden tests judge them in an isolated process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from configs.errors import ConfigError, require
from tasks.base import Item, Verdict
from tasks.dataset import DatasetTask
from tasks.dataset_rows import Row, text_of, texts_of
from tasks.fenced import program_in
from tasks.unit_tests import check_isolation, defined_for, passes


@dataclass(frozen=True)
class CodeProblems(DatasetTask):
    """Rows with a problem, a right program (column ``answer``) and tests; the fields are those of `DatasetTask` and these.

    Tests are in no prompt and in no reference. What a prompt has to tell of them, the name and the parameters of what they
    call, it takes from the right program.

    Args:
        tests: column with the tests, a list of sources or one source; each raises where the program is wrong.
        setup: column with what is run before the program, a source (may be empty) or a list of them; "" for none.
        signature: whether a prompt ends with the first lines of what the tests call.
        seconds: limit for one program with its tests.
        memory_mb: likewise.
    """

    name: ClassVar[str] = "code_problems"
    version: ClassVar[int] = 1
    changes: ClassVar[Mapping[int, str]] = {}
    source: ClassVar[str] = "Austin et al. 2021, arXiv 2108.07732"
    checkers: ClassVar[tuple[str, ...]] = ("code",)

    template: str = (
        "{question}\nThink step by step. End with the whole program in one block that begins with ```python."
    )
    checker: str = "code"
    tests: str = "test_list"
    setup: str = ""
    signature: bool = True
    seconds: float = 5.0
    memory_mb: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.tests), "tests", self.tests, "must name the column of the tests")
        require(self.seconds > 0, "seconds", self.seconds, "must be more than 0")
        require(self.memory_mb >= 1, "memory_mb", self.memory_mb, "must be at least 1")

    def check(self) -> None:
        """See `Task.check`: programs can be isolated here."""
        check_isolation(self.seconds, self.memory_mb)

    def verify(self, item: Item, response: str) -> Verdict:
        """See `Task.verify`: the program that ends the response (strict), or the last one in it, passes all tests."""
        program, tests = program_in(response), item.payload["tests"]
        assert isinstance(tests, tuple)
        right = bool(program.text.strip()) and passes(
            program.text, tests, str(item.payload["setup"]), self.seconds, self.memory_mb
        )
        return Verdict(right and program.formed, right)

    def formed(self, item: Item, response: str) -> bool:
        """See `Task.formed`: the response ends with a program in a closed block."""
        program = program_in(response)
        return program.formed and bool(program.text.strip())

    def _question(self, row: Row, at: str) -> str:
        question = text_of(row, "question", self.question, at)
        if not self.signature:
            return question
        lines = defined_for(text_of(row, "answer", self.answer, at), texts_of(row, "tests", self.tests, at))
        if not lines:
            reason = (
                f"must define what the tests call; {at} does not (task.signature=false asks without its first line)"
            )
            raise ConfigError("task.answer", self.answer, reason)
        return "\n".join([question, "It begins with:", *lines])

    def _reference(self, working: str, answer: str) -> str:
        return f"{working}\n```python\n{answer}\n```".strip()

    def _payload(self, row: Row, at: str) -> dict[str, object]:
        tests = texts_of(row, "tests", self.tests, at)
        require(bool(tests), "task.tests", self.tests, f"must hold at least one test; {at} has none")
        setup = "\n".join(texts_of(row, "setup", self.setup, at)) if self.setup else ""
        return {"tests": tests, "setup": setup}
