"""Procedural reasoning problems of the reasoning-gym package as a task: one family per dataset. An optional extra."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from typing import Any, ClassVar, cast

from configs.errors import ConfigError, require
from configs.extras import needs
from tasks.answers import lenient_answer, strict_answer
from tasks.base import Item, Split, Task, Verdict
from tasks.splits import SPLITS, prompt_hash, split_of
from tasks.worker import call
from tasks.workings import WORKINGS

SHARES: Mapping[str, float] = dict.fromkeys(SPLITS, 1.0)
"""Every split gets the same share of all prompts that a dataset can make."""

_BLOCK = 2**28
"""Seeds per split: split k draws with seeds from k times this."""

_TRIES = 200
"""Draws per item wanted before a dataset counts as exhausted."""


@dataclass(frozen=True)
class ReasoningGym(Task):
    """Datasets of reasoning-gym (Stojanovski et al., arXiv 2505.24760), judged by their own ``score_answer``.

    Splits draw with seeds from disjoint ranges, and a prompt counts only in the split that its text belongs to, so no prompt
    is in two of them. The score is computed in a worker process with a time limit, from one short candidate answer.

    Args:
        datasets: parameters of each dataset by its name; {} for its defaults.
        harder: parameters that the split ``harder`` changes, by dataset. A dataset that is not named has no harder items.
        instruction: follows every question; says how to mark the answer.
        answer_marker: begins the answer's line.
        package: version of reasoning-gym that makes the items; "" records the installed one.
    """

    name: ClassVar[str] = "reasoning_gym"
    version: ClassVar[int] = 2
    changes: ClassVar[Mapping[int, str]] = {
        2: "2026-11-28: which split a problem is in follows from its normalised text"
    }
    source: ClassVar[str] = "Stojanovski et al. 2025, arXiv 2505.24760"

    datasets: dict[str, dict[str, Any]] = field(default_factory=lambda: {"chain_sum": {}, "basic_arithmetic": {}})
    harder: dict[str, dict[str, Any]] = field(default_factory=dict)
    instruction: str = "Think step by step. End with a line that says Answer: and the result."
    answer_marker: str = "Answer:"
    package: str = ""

    def __post_init__(self) -> None:
        needs("reasoning_gym", "name", self.name)
        from reasoning_gym.factory import DATASETS

        require(bool(self.datasets), "datasets", self.datasets, "must name at least one dataset")
        for family in self.datasets:
            if family not in DATASETS:
                raise ConfigError("datasets", family, "is not a dataset of reasoning-gym", DATASETS)
        for family in self.harder:
            if family not in self.datasets:
                raise ConfigError("harder", family, "is not among the datasets", self.datasets)
        found = installed_version("reasoning-gym")
        require(self.package in ("", found), "package", self.package, f"reasoning-gym {found} is installed")
        object.__setattr__(self, "package", found)

    @property
    def families(self) -> tuple[str, ...]:  # type: ignore[override]
        """The datasets' names."""
        return tuple(self.datasets)

    def size(self, split: Split, family: str) -> int:
        """See `Task.size`; 0 harder items where none are configured."""
        return 0 if split == "harder" and family not in self.harder else 10**9

    def items(self, split: Split, family: str, n: int, seed: int) -> list[Item]:
        """See `Task.items`. ``level`` is 2 in the split ``harder`` and 1 elsewhere."""
        if family not in self.datasets:
            raise ConfigError("task.datasets", family, "is not a family here", self.families)
        if split == "harder" and family not in self.harder:
            raise ConfigError("task.harder", family, "has no parameters for harder items", self.harder)
        found: dict[str, Item] = {}
        draws = self._draws(split, family, seed, n * _TRIES)
        while len(found) < n:
            item = next(draws, None)
            if item is None:
                raise ConfigError("task.datasets", family, f"has only {len(found)} {split} items, {n} were asked for")
            digest = item.id.rpartition("/")[2]
            if split_of(digest, SHARES) == split:
                found.setdefault(digest, item)
        return list(found.values())

    def asks_for(self, prompt: str) -> str:
        """See `Task.asks_for`: the question, with the instruction after it or without."""
        return prompt_hash(prompt.strip().removesuffix(self.instruction))

    def verify(self, item: Item, response: str) -> Verdict:
        """See `Task.verify`: right where ``score_answer`` gives full marks. Strict: the answer's line ends the response;
        lenient: see `tasks.answers.lenient_answer`."""
        exact = strict_answer(response, self.answer_marker)
        if exact is not None and self._right(item, exact):
            return Verdict(True, True)
        numeric = item.answer.lstrip("-").replace(".", "", 1).isdigit()
        return Verdict(False, self._right(item, lenient_answer(response, self.answer_marker, numeric)))

    def worked(self, item: Item) -> str:
        """See `Task.worked`: of the datasets in `tasks.workings` the steps line by line, then the answer's line. References,
        which the public data have, are the answer's line alone."""
        if item.family not in WORKINGS:
            return item.reference
        return "\n".join([*WORKINGS[item.family](self._entry(item)["metadata"]), item.reference])

    def formed(self, item: Item, response: str) -> bool:
        """See `Task.formed`: the last line begins with the marker and says something."""
        return bool(strict_answer(response, self.answer_marker))

    def _right(self, item: Item, answer: str) -> bool:
        score = call({"check": "reasoning_gym", "answer": answer, **item.payload}) if answer else None
        return score is not None and score >= 0.999

    @staticmethod
    def _entry(item: Item) -> dict[str, Any]:
        """The package's own record of an item's problem, made again."""
        import reasoning_gym

        made = item.payload
        entry: dict[str, Any] = reasoning_gym.create_dataset(
            made["dataset"], seed=made["seed"], size=1, **cast("dict[str, Any]", made["params"])
        )[0]
        return entry

    def _draws(self, split: Split, family: str, seed: int, tries: int) -> Iterator[Item]:
        """One item a seed, from consecutive seeds of the split's range; problems the dataset fails to make are skipped."""
        import reasoning_gym

        params: Mapping[str, Any] = {**self.datasets[family], **(self.harder[family] if split == "harder" else {})}
        digest = hashlib.sha256(f"{split}/{family}/{seed}".encode()).digest()
        first = SPLITS.index(split) * _BLOCK + int.from_bytes(digest[:4], "big") % (_BLOCK // 2)
        for at in range(first, first + tries):
            entry = reasoning_gym.create_dataset(family, seed=at, size=1, **params)[0]
            prompt = f"{entry['question']}\n{self.instruction}".strip()
            yield Item(
                id=f"{family}/{prompt_hash(prompt)}",
                family=family,
                level=2 if split == "harder" else 1,
                prompt=prompt,
                answer=str(entry["answer"]),
                reference=f"{self.answer_marker} {entry['answer']}",
                payload={"dataset": family, "params": dict(params), "seed": at},
            )
