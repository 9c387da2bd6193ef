"""Any dataset of the `datasets` library as a task, with a named answer checker."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from configs.errors import ConfigError, require
from configs.identity import added
from tasks.answers import LONGEST, lenient_answer, marked_answer, strict_answer, visible_answer
from tasks.base import Item, Split, Task, Verdict
from tasks.checkers import CHECKERS, JUDGE, check_installed
from tasks.dataset_rows import Row, level_of, load_rows, local, text_of
from tasks.splits import check_shares, prompt_hash, split_of
from tasks.text_judge import JudgedTexts, TextJudge


@dataclass(frozen=True)
class DatasetTask(Task):
    """Rows of a dataset as items. A question's normalised text (`tasks.splits.normalised`) decides which split it is in: one
    that occurs twice counts once, and no two splits share one. Rewordings of a question are not recognised.

    Args:
        path: name on the hub, a local JSON, JSON-lines or parquet file, or a folder of such files.
        config: the dataset's configuration on the hub, "" for its default.
        revision: commit on the hub, "" for the newest; pin it in published configs. Local files have none.
        split: the dataset's own split that all items come from.
        heldout_split: the dataset's own split that held-out items come from instead; its prompts are then dropped elsewhere.
        question: column of the question.
        answer: column of the reference answer.
        answer_after: the reference is what follows the last such text in the column ("####" for GSM8K), "" for all of it.
        family: column with the capability family, "" for the one family ``all``.
        level: column with the difficulty as a whole number, or as a text with one ("Level 3"); "" for none.
        harder_above: rows of a higher level than this are ``harder`` and nothing else; needs ``level``.
        template: the prompt; ``{question}`` stands for the question.
        checker: ``exact``, ``numeric``, ``choice`` or ``math_verify``; see `tasks.checkers`. ``judge``, where no program can
            tell: see ``judge``.
        answer_marker: begins the answer's line in a response.
        shares: shares of the splits.
        judge: who decides whether an answer says what the reference says, with ``checker: judge``; null with any other.
        working: column with the working that leads to the answer, for reference responses; "" for none besides what stands
            before ``answer_after``.
        title: what tables call the dataset, "" for the part's name.

    ``checkers``: those that ``checker`` may name.
    """

    name: ClassVar[str] = "dataset"
    version: ClassVar[int] = 2
    places: ClassVar[tuple[str, ...]] = ("path",)
    changes: ClassVar[Mapping[int, str]] = {
        2: "2026-11-28: which split a question is in follows from its normalised text without the template; rows without a "
        "question, answer, family or level are refused; numbers are read as people write them"
    }
    source: ClassVar[str] = "Lhoest et al. 2021, arXiv 2109.02846"
    checkers: ClassVar[tuple[str, ...]] = (*CHECKERS, JUDGE)

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
    judge: TextJudge | None = added(None)  # noqa: RUF009 (it is a field)
    working: str = added("")
    title: str = added("")

    def __post_init__(self) -> None:
        if self.checker not in self.checkers:
            raise ConfigError("checker", self.checker, "is not an answer checker of this task", self.checkers)
        if self.judge is None:
            require(self.checker != JUDGE, "judge", None, "must be given with checker=judge: who decides?")
        else:
            require(self.checker == JUDGE, "checker", self.checker, "must be judge where there is one")
            reason = "rates stored texts alone: a checker has to read any answer"
            require(self.judge.reads, "judge", self.judge.name, reason)
            require(
                not self.judge.needs_teacher, "judge", self.judge.name, "must not ask to be shown the teacher's text"
            )
        check_installed(self.checker)
        require("{question}" in self.template, "template", self.template, "must contain {question}")
        check_shares(self.shares)
        require(
            not (self.revision and local(self.path)), "task.revision", self.revision, "local files have no revision"
        )

    @property
    def label(self) -> str:
        """See `Task.label`."""
        return self.title or self.name

    def content(self) -> str:
        """See `Task.content`: a hash of all items, so that it is the same for the same rows, however they are stored."""
        return self._content

    @cached_property
    def _content(self) -> str:
        parts = (
            repr((split, i.family, i.level, i.prompt, i.answer, i.reference, *i.payload.items()))
            for split, pool in self._pools.items()
            for i in pool
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

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

    def asks_for(self, prompt: str) -> str:
        """See `Task.asks_for`: the question, with the template around it or without."""
        before, _, after = self.template.partition("{question}")
        within = len(prompt) > len(before) + len(after) and prompt.startswith(before) and prompt.endswith(after)
        return prompt_hash(prompt[len(before) : len(prompt) - len(after)] if within else prompt)

    def verify(self, item: Item, response: str) -> Verdict:
        """See `Task.verify`: the named checker on the answer's line (strict) or a likely candidate (lenient)."""
        if self.judge is not None:
            return self.verdicts([item], [response])[0]
        check = CHECKERS[self.checker]
        exact = strict_answer(response, self.answer_marker)
        if exact is not None and check(exact, item.answer):
            return Verdict(True, True)
        candidate = lenient_answer(response, self.answer_marker, self.checker == "numeric")
        return Verdict(False, bool(candidate) and check(candidate, item.answer))

    def verdicts(self, items: Sequence[Item], responses: Sequence[str]) -> list[Verdict]:
        """See `Task.verdicts`. A judge is asked about all at once: an answer is all that follows the marker at the beginning
        of a line (strict), or all that is visible where there is none (lenient)."""
        if self.judge is None:
            return super().verdicts(items, responses)
        answers = [visible_answer(response, self.answer_marker) for response in responses]
        asked = [row for row, answer in enumerate(answers) if answer]
        judged = JudgedTexts(
            [items[row].prompt for row in asked], [items[row].answer for row in asked], [answers[row] for row in asked]
        )
        good = dict(zip(asked, self.judge.good(self.judge.ratings(judged).rating).tolist(), strict=True))
        return [
            Verdict(good.get(row, False) and self.formed(items[row], response), good.get(row, False))
            for row, response in enumerate(responses)
        ]

    def formed(self, item: Item, response: str) -> bool:
        """See `Task.formed`: the last line begins with the marker and says something; for a judge, any line may."""
        found = strict_answer if self.judge is None else marked_answer
        return bool(found(response, self.answer_marker))

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
        """Items whose questions are not in ``seen``, which they are added to."""
        items = []
        for index, row in enumerate(load_rows(self.path, self.config, self.revision, split)):
            item = self._item(row, f"row {index + 1} of split {split!r}")
            if item.id not in seen:
                seen.add(item.id)
                items.append(item)
        return items

    def _item(self, row: Row, at: str) -> Item:
        question = self._question(row, at)
        working, answer = self._solution(row, at)
        reason = f"must hold answers of fewer than {LONGEST:,} characters; {at} has {len(answer):,}"
        require(len(answer) < LONGEST, "task.answer", self.answer, reason)
        if self.working:
            working = text_of(row, "working", self.working, at)
        return Item(
            id=prompt_hash(question),
            family=text_of(row, "family", self.family, at) if self.family else "all",
            level=level_of(row, self.level, at) if self.level else 1,
            prompt=self.template.replace("{question}", question),
            answer=answer,
            reference=self._reference(working.strip(), answer),
            payload=self._payload(row, at),
        )

    def _question(self, row: Row, at: str) -> str:
        """What stands for ``{question}``, and tells one item from another."""
        return text_of(row, "question", self.question, at)

    def _solution(self, row: Row, at: str) -> tuple[str, str]:
        """Working ("" for none) and answer."""
        whole = text_of(row, "answer", self.answer, at)
        working, mark, answer = whole.rpartition(self.answer_after) if self.answer_after else ("", "", whole)
        answer = answer.strip()
        if self.answer_after and not (mark and answer):
            reason = f"must be in each answer and be followed by the result; {at} has none"
            raise ConfigError("task.answer_after", self.answer_after, reason)
        return working, answer

    def _reference(self, working: str, answer: str) -> str:
        """A right response."""
        return f"{working}\n{self.answer_marker} {answer}".strip()

    def _payload(self, row: Row, at: str) -> dict[str, object]:
        """What the verifier needs besides."""
        return {}
