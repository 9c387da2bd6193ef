"""What a judge is: somebody who rates texts on a scale where no program can, a language model or people whose ratings are
imported. Knows neither.

A judge stands in the place of an answer checker (`tasks.dataset.DatasetTask.judge`), or rates stored texts besides
(`experiments.stages.judgement`). A rating is an opinion: how far it agrees with a program's verdict is measured with it
(`experiments.measure.agreement`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from configs.identity import Part

FIVE = ("1", "2", "3", "4", "5")
Program = Literal["strict", "lenient", "audited", "none"]
"""Which verdict of the task's own program a judge is compared with: the answer in its form, the answer wherever it stands,
every stated step; ``none`` for a judge of what no program looks at (style)."""


class JudgedTexts(NamedTuple):
    """R texts with what a judge may be shown of them.

    Args:
        questions: what each is an answer to.
        references: reference answer of each, "" for none.
        texts: to be rated; untrusted.
        teacher: what the undefended teacher says to the same question; () where that is not known.
        key: of the stored stage that made the texts, "" for texts that are stored nowhere.
        items: id of the item of each, unique; () for texts that are stored nowhere.
    """

    questions: Sequence[str]
    references: Sequence[str]
    texts: Sequence[str]
    teacher: Sequence[str] = ()
    key: str = ""
    items: Sequence[str] = ()


class Ratings(NamedTuple):
    """What a judge says.

    Args:
        rating: (R,) on the judge's scale, between its values too; NaN where there is none.
        mass: (R,) how much of what the judge might have said was on the scale; 1 for people, NaN where there is none.
    """

    rating: NDArray[np.float64]
    mass: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TextJudge(Part, ABC):
    """Rates texts; the same texts get the same ratings.

    Args:
        scale: what a rating can be, from the worst to the best: numbers, or words that stand for 0, 1, ….
        passes: from which rating on a text counts as good; null for the middle of the scale.
        program: the verdict of the task's own program that the judge's is compared with.

    One that counts characters, as an example:

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Longest(TextJudge):
    ...     name: ClassVar[str] = "longest"
    ...     version: ClassVar[int] = 1
    ...
    ...     def ratings(self, judged):
    ...         length = np.array([float(len(text)) for text in judged.texts])
    ...         return Ratings(np.clip(length, *self.limits), np.ones(len(length)))
    >>> judge = Longest()
    >>> found = judge.ratings(JudgedTexts(["?", "?"], ["", ""], ["a", "abcdefg"]))
    >>> found.rating.tolist(), judge.good(found.rating).tolist()
    ([1.0, 5.0], [False, True])
    """

    kind: ClassVar[str] = "judge"
    reads: ClassVar[bool] = True
    """Whether it rates any text that it is given, as a checker of answers has to, and not stored ones alone."""

    scale: tuple[str, ...] = FIVE
    passes: float | None = None
    program: Program = "strict"

    def __post_init__(self) -> None:
        require(len(self.scale) >= 2, "scale", list(self.scale), "must have at least two values, the worst first")
        require(all(label.strip() for label in self.scale), "scale", list(self.scale), "has a value without text")
        require(len(set(self.scale)) == len(self.scale), "scale", list(self.scale), "has a value twice")
        ascending = bool(np.all(np.diff(self.values) > 0))
        require(ascending, "scale", list(self.scale), "must begin with the worst, which is the smallest number")
        low, high = self.limits
        inside = self.passes is None or low <= self.passes <= high
        require(inside, "passes", self.passes, f"must be on the scale, from {low:g} to {high:g}")

    @property
    def values(self) -> NDArray[np.float64]:
        """(L,) what the values of the scale count as."""
        try:
            found = np.array([float(label) for label in self.scale])
        except ValueError:
            return np.arange(len(self.scale), dtype=np.float64)
        return found if np.isfinite(found).all() else np.arange(len(self.scale), dtype=np.float64)

    @property
    def limits(self) -> tuple[float, float]:
        """The worst rating and the best."""
        return float(self.values[0]), float(self.values[-1])

    @property
    def needs_teacher(self) -> bool:
        """Whether it has to be shown what the teacher says."""
        return False

    def good(self, rating: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(R,) which ratings pass; NaN does not."""
        least = sum(self.limits) / 2 if self.passes is None else self.passes
        passed: NDArray[np.bool_] = np.asarray(rating) >= least
        return passed

    def check(self) -> None:
        """Refuse what can be seen to be wrong before anything runs.

        Raises:
            ConfigError: naming the field.
        """
        return

    @abstractmethod
    def ratings(self, judged: JudgedTexts) -> Ratings:
        """Rate R texts.

        Raises:
            ConfigError: the judge cannot be had, or does not fit the texts.
        """
