"""A task: seeded items of several capability families, and the verifier that judges a response. Knows no model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from configs.identity import Part
from tasks.normalised import normalised

Split = Literal["train", "heldout", "harder", "public", "provider"]
"""``train``: what attackers may ask. ``heldout``: what students are scored on. ``harder``: more steps than trained.
``public``: what everybody may know (the base student's pretraining).
``provider``: what a provider prepares a defense on."""


@dataclass(frozen=True)
class Item:
    """One prompt with what is needed to judge an answer.

    Args:
        id: unique over all splits of the task.
        family: capability family, e.g. ``chain``.
        level: difficulty (number of steps).
        prompt: what a user sends.
        answer: reference answer.
        reference: a full correct response in the task's own format (one of many), "" where there is none.
        steps: indices, among the whitespace-separated words of ``reference``, of the words that are results of single
            steps: teacher-forced accuracy on these is the single-step accuracy.
        payload: whatever the verifier and the tools need (hidden inputs, tables); JSON-able.
    """

    id: str
    family: str
    level: int
    prompt: str
    answer: str
    reference: str = ""
    steps: tuple[int, ...] = ()
    payload: Mapping[str, object] = field(default_factory=dict)


class Verdict(NamedTuple):
    """Judgement of one response. ``strict`` wants the exact format, ``lenient`` only the right answer, plausibly placed."""

    strict: bool
    lenient: bool


class Task(Part, ABC):
    """A suite: a frozen dataclass whose fields are its configuration. Same fields and seed, same items.

    Sums of two numbers, as an example (every split has first summands of its own, so none share a prompt):

    >>> @dataclass(frozen=True)
    ... class Sums(Task):
    ...     name: ClassVar[str] = "sums"
    ...     version: ClassVar[int] = 1
    ...     source: ClassVar[str] = "an example"
    ...     families: ClassVar[tuple[str, ...]] = ("sums",)
    ...
    ...     def items(self, split, family, n, seed):
    ...         a = ("train", "heldout", "harder", "public", "provider").index(split)
    ...         sums = [(a, b) for b in range(seed, seed + n)]
    ...         return [Item(f"{a}+{b}", family, 1, f"{a} + {b} =", answer=str(a + b)) for a, b in sums]
    ...
    ...     def verify(self, item, response):
    ...         words = response.split()
    ...         return Verdict(strict=words == [item.answer], lenient=words[-1:] == [item.answer])
    >>> (item,) = Sums().items("heldout", "sums", n=1, seed=6)
    >>> item.prompt, Sums().verify(item, "it is 7"), Sums().verify(item, "8").lenient
    ('1 + 6 =', Verdict(strict=False, lenient=True), False)
    """

    kind: ClassVar[str] = "task"
    changes: ClassVar[Mapping[int, str]] = {}
    """What changed with each version after the first, with its date."""
    source: ClassVar[str]
    families: ClassVar[tuple[str, ...]]

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.name

    def check(self) -> None:
        """Refuse what this task cannot do on this machine, before anything runs.

        Raises:
            configs.errors.ConfigError: says what is missing.
        """
        return

    @abstractmethod
    def items(self, split: Split, family: str, n: int, seed: int) -> list[Item]:
        """``n`` distinct items. Splits never share a prompt, whatever the seeds; see `meaning`.

        Raises:
            configs.errors.ConfigError: unknown family, or more items asked for than the family has.
        """

    def size(self, split: Split, family: str) -> int:
        """How many distinct items ``items`` finds, or a bound below that; unbounded families say a very large number."""
        return 10**9

    def meaning(self, item: Item) -> str:
        """What an item asks for, whatever its words. No two of the train, heldout, harder and provider splits share a
        meaning, unless the task says where and why they do."""
        return item.id

    def asks_for(self, prompt: str) -> str:
        """What a prompt of anybody's making asks for, so that prompts which agree in this give each other's answer away: its
        normalised text, unless the task reads prompts. Training rows that agree with a scored item are not learnt from."""
        return normalised(prompt)

    @property
    def mix(self) -> dict[str, float]:
        """Share of a query budget that goes to each family where the budget does not say otherwise."""
        return dict.fromkeys(self.families, 1 / len(self.families))

    @property
    def checkable(self) -> tuple[str, ...]:
        """Families whose answers an attacker can check on his own, without knowing what he wants to learn."""
        return self.families

    @abstractmethod
    def verify(self, item: Item, response: str) -> Verdict:
        """Judge the visible text of a response. The text is untrusted."""

    def worked(self, item: Item) -> str:
        """A full right response with its working, to teach a model by: the item's reference, unless the task knows a working
        that everybody's data do not have. "" where there is neither."""
        return item.reference

    def verdicts(self, items: Sequence[Item], responses: Sequence[str]) -> list[Verdict]:
        """`verify` of each response, in one go where that is quicker: ``items`` are theirs."""
        return [self.verify(item, response) for item, response in zip(items, responses, strict=True)]

    def formed(self, item: Item, response: str) -> bool | None:
        """Whether a response has the form that is asked for, right or wrong: what a student may learn where it learns
        nothing else. None where the task cannot tell."""
        return None

    def run_tool(self, item: Item, generated: str) -> str | None:
        """The result to append after ``generated`` when it has just finished a tool call; None when it has not."""
        return None

    def audit(self, item: Item, response: str) -> bool | None:
        """Whether every step that the visible text states is right; None where it states none or the task cannot tell."""
        return None
