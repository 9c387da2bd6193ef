"""Any dataset of the `datasets` library as a task, with a named answer checker."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from configs.errors import ConfigError, require
from tasks.answers import lenient_answer, strict_answer
from tasks.base import Item, Split, Task, Verdict
from tasks.checkers import CHECKERS, check_installed
from tasks.splits import check_shares, prompt_hash, split_of

_FILES = {".json": "json", ".jsonl": "json", ".parquet": "parquet"}


@dataclass(frozen=True)
class DatasetTask(Task):
    """Rows of a dataset as items. A prompt that occurs twice counts once; which split it is in follows from its text.

    Args:
        path: name on the hub, a local JSON, JSON-lines or parquet file, or a folder of such files.
        config: the dataset's configuration on the hub, "" for its default.
        revision: commit on the hub, "" for the newest. Pin it in published configs.
        split: the dataset's own split that all items come from.
        heldout_split: the dataset's own split that held-out items come from instead; its prompts are then dropped elsewhere.
        question: column of the question.
        answer: column of the reference answer.
        answer_after: the reference is what follows the last such text in the column ("####" for GSM8K), "" for all of it.
        family: column with the capability family, "" for the one family ``all``.
        level: column with the difficulty as an integer, "" for none.
        harder_above: rows of a higher level than this are ``harder`` and nothing else; needs ``level``.
        template: the prompt; ``{question}`` stands for the question.
        checker: ``exact``, ``numeric`` or ``math_verify``; see `tasks.checkers`.
        answer_marker: begins the answer's line in a response.
        shares: shares of the splits.
    """

    name: ClassVar[str] = "dataset"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Lhoest et al. 2021, arXiv 2109.02846"

    path: str
    config: str = ""
    revision: str = ""
    split: str = "train"
    heldout_split: str = ""
    question: str = "question"
    answer: str = "answer"
    answer_after: str = ""
    family: str = ""
    level: str = ""
    harder_above: int = 0
    template: str = "{question}\nThink step by step. End with a line that says Answer: and the result."
    checker: str = "exact"
    answer_marker: str = "Answer:"
    shares: dict[str, float] = field(
        default_factory=lambda: {"train": 0.6, "heldout": 0.2, "harder": 0.0, "public": 0.1, "provider": 0.1}
    )

    def __post_init__(self) -> None:
        if self.checker not in CHECKERS:
            raise ConfigError("checker", self.checker, "is not an answer checker", CHECKERS)
        check_installed(self.checker)
        require("{question}" in self.template, "template", self.template, "must contain {question}")
        check_shares(self.shares)

    @property
    def families(self) -> tuple[str, ...]:  # type: ignore[override]
        """Values of the family column, sorted."""
        return tuple(sorted({item.family for pool in self._pools.values() for item in pool}))

    def size(self, split: Split, family: str) -> int:
        """See `Task.size`."""
        return sum(item.family == family for item in self._pools.get(split, ()))

    def items(self, split: Split, family: str, n: int, seed: int) -> list[Item]:
        """See `Task.items`."""
        if family not in self.families:
            raise ConfigError("task.family", family, "is not a family here", self.families)
        pool = [item for item in self._pools.get(split, ()) if item.family == family]
        require(
            n <= len(pool), "task.path", self.path, f"has {len(pool)} {split} items of {family}; {n} were asked for"
        )
        return random.Random(f"{seed}/{split}/{family}").sample(pool, n)

    def verify(self, item: Item, response: str) -> Verdict:
        """See `Task.verify`: the named checker on the answer's line (strict) or a likely candidate (lenient)."""
        check = CHECKERS[self.checker]
        exact = strict_answer(response, self.answer_marker)
        if exact is not None and check(exact, item.answer):
            return Verdict(True, True)
        candidate = lenient_answer(response, self.answer_marker, self.checker == "numeric")
        return Verdict(False, bool(candidate) and check(candidate, item.answer))

    def formed(self, item: Item, response: str) -> bool:
        """See `Task.formed`: the last line begins with the marker and says something."""
        return bool(strict_answer(response, self.answer_marker))

    @cached_property
    def _pools(self) -> dict[str, list[Item]]:
        """Items by split, in the dataset's order."""
        pools: dict[str, list[Item]] = {}
        seen: set[str] = set()
        if self.heldout_split:
            pools["heldout"] = self._distinct(self.heldout_split, seen)
        shares = {s: x for s, x in self.shares.items() if not (self.heldout_split and s == "heldout")}
        for item in self._distinct(self.split, seen):
            harder = bool(self.level) and item.level > self.harder_above
            place = "harder" if harder else split_of(item.id, shares)
            pools.setdefault(place, []).append(item)
        return pools

    def _distinct(self, split: str, seen: set[str]) -> list[Item]:
        """Items whose prompts are not in ``seen``, which they are added to."""
        items = []
        for row in self._rows(split):
            item = self._item(row)
            if item.id not in seen:
                seen.add(item.id)
                items.append(item)
        return items

    def _item(self, row: dict[str, Any]) -> Item:
        for field_name in ("question", "answer", "family", "level"):
            column = getattr(self, field_name)
            if column and column not in row:
                raise ConfigError(f"task.{field_name}", column, f"is not a column of {self.path}", row)
        prompt = self.template.replace("{question}", str(row[self.question]).strip())
        whole = str(row[self.answer]).strip()
        answer = whole.rpartition(self.answer_after)[2].strip() if self.answer_after else whole
        working = whole.rpartition(self.answer_after)[0].strip() if self.answer_after else ""
        return Item(
            id=prompt_hash(prompt),
            family=str(row[self.family]) if self.family else "all",
            level=int(row[self.level]) if self.level else 1,
            prompt=prompt,
            answer=answer,
            reference=f"{working}\n{self.answer_marker} {answer}".strip(),
        )

    def _rows(self, split: str) -> Any:
        """Rows of one of the dataset's own splits, read without running code that comes with it."""
        from datasets import disable_progress_bars, load_dataset

        disable_progress_bars()
        place = Path(self.path).expanduser()
        try:
            if place.is_file():
                kind = _FILES.get(place.suffix)
                require(kind is not None, "task.path", self.path, "must be a .json, .jsonl or .parquet file")
                return load_dataset(kind, data_files={split: str(place)}, split=split)
            if place.is_dir():
                return load_dataset(str(place), split=split)
            return load_dataset(self.path, self.config or None, revision=self.revision or None, split=split)
        except (OSError, ValueError, RuntimeError) as error:
            line = " ".join(str(error).split())[:300]
            reason = f"could not be loaded ({line}); give a local file or folder, or a hub name with a connection"
            raise ConfigError("task.path", self.path, reason) from error
