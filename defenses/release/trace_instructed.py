"""Let a language model rewrite traces under the instruction of which students learn least: instructions are searched with
students of the provider's own. Knows nothing of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from configs.errors import ConfigError, require
from configs.ranges import at_least
from defenses.base import Defense, Preparation, Prepared, ReleaseContext
from defenses.release.exam import Exam, clean_with_trace
from defenses.release.instruction_proposer import InstructionProposer
from defenses.release.instruction_trials import AS_IT_IS, Trial, Trials, best_of, scores_of, stored, text_of
from defenses.release.model_rewriter import ModelRewriter
from defenses.release.rewriter import release_rows
from defenses.strength import Strength
from lm.examples import Examples
from lm.huggingface import Pretrained
from teacher.api.schema import Responses


@dataclass(frozen=True)
class TraceInstructed(Defense):
    """A language model rewrites traces under one instruction, the one under which the provider's own students learn least.

    The form of `trace_rewritten` for text: the rewriter is a model that follows instructions, and what is searched is the
    instruction. It is given the trace and never the answer, which is put back as it was; a response whose answer would not
    come out token by token, that would have no trace, or that gets longer than its client allows is left alone
    (`defenses.release.rewriter`; `Serving.memory` counts these, by reason, as ``rewriter``).

    Preparation (section 5.1.2 of the paper, optimisation by prompting): each instruction is applied to the same clean
    traces, as clients would get them, those included that are left alone. An instruction by which more than half are left
    alone is out. For each other one a student is trained on the result, and scored by the share of the provider's own tasks
    that it solves; the tasks are the same for all and none of those trained on. The traces as they are compete too, and win
    where nothing is lower. First come the given ``instructions``, in their order. Then, where a ``proposer`` is named, it is
    shown the ten best of those that beat the traces as they are (of all, where none does), each with the percentage of the
    tasks that its student failed, and asked for three new ones, again and again until ``candidates`` were tried or it has
    nothing new to say.

    Only what students learn decides, as in the authors' code. Whether a rewritten trace is still right is not looked at, and
    a rewriter that writes nonsense wins: reports say how many of its steps follow.

    Other than in the authors' code: one student in the place of the mean of three, from the proxy's weights without a
    warm-up on the traces as they are; the rewriter does not restate the answer; which share of the responses is rewritten
    can be set. A single instruction and no proposer is the paper's first form (section 5.1.1), served if it is of use.

    Prepared: all that was tried, with its accuracy and the share of traces that left rewritten, and which of them the winner
    and the control are (`defenses.release.instruction_trials.stored`). Nothing at ``fraction`` 0.

    Args:
        fraction: share of the responses that are rewritten, in [0, 1]; a larger one takes a superset. 0 changes nothing.
        instructions: what is tried first, at least one.
        rewriter: the model that rewrites. It is required; where there is no language model, `trace_rewritten` has a grammar.
        proposer: the model that proposes instructions, which may be the rewriter; None where none are proposed.
        search: whether the winner is served. If not, the control: an instruction drawn from the given ones that are neither
            out nor the winner (the winner, where there is no other), from the same preparation.
        candidates: most instructions that are tried, the given ones included.
        rows: clean traces that are rewritten.
        items: tasks that a student is scored on.
        steps: most optimizer steps of a student.
    """

    name: ClassVar[str] = "trace_instructed"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "arXiv 2602.15143"
    checked: ClassVar[str] = "a search with known scores and a model that follows; answers kept token by token"
    needs: ClassVar[tuple[str, ...]] = ("trace",)
    trains: ClassVar[bool] = True
    rewords: ClassVar[bool] = True
    strength: ClassVar[Strength | None] = Strength("fraction", 0, 1)
    prepared_from: ClassVar[tuple[str, ...] | None] = (
        "instructions", "rewriter", "proposer", "candidates", "rows", "items", "steps",
    )  # fmt: skip

    fraction: float
    instructions: tuple[str, ...]
    rewriter: Pretrained | None = None
    proposer: Pretrained | None = None
    search: bool = True
    candidates: int = 12
    rows: int = 100
    items: int = 100
    steps: int = 60

    def __post_init__(self) -> None:
        require(0 <= self.fraction <= 1, "fraction", self.fraction, "must lie in [0, 1]")
        none = "must name a language model that follows instructions; the grammar of trace_rewritten needs none"
        require(self.rewriter is not None, "rewriter", None, none)
        require(len(self.instructions) > 0, "instructions", self.instructions, "must hold an instruction to begin with")
        for i, one in enumerate(self.instructions):
            require(bool(one.strip()), f"instructions[{i}]", one, "must tell the rewriter what to do")
            require(one not in self.instructions[:i], f"instructions[{i}]", one, "stands there twice")
        at_least(self, 1, "candidates", "rows", "items", "steps")
        given = len(self.instructions)
        require(self.candidates >= given, "candidates", self.candidates, f"must be at least the {given} instructions")

    def acts(self, hook: str) -> bool:
        """Nothing is searched where nothing is rewritten."""
        return super().acts(hook) and (hook != "prepare" or self.fraction > 0)

    def prepare(self, context: Preparation) -> Prepared:
        """What was tried and what came of it.

        Raises:
            ConfigError: no trace, or none of the given instructions leaves at least half of the traces rewritten.
        """
        rows = clean_with_trace(context, self.rows, self.name)
        exam = Exam.on(context.items(self.rows + self.items), rows, self.items)
        tried, faults = {AS_IT_IS: Trial(self._accuracy(rows, exam, context), 0.0)}, dict[str, str]()
        following = list(self.instructions)
        while following:
            for instruction in following:
                tried[instruction], faults[instruction] = self._trial(instruction, rows, exam, context)
                context.progress(len(tried) - 1, self.candidates, f"accuracy {tried[best_of(tried)].accuracy:.3f}")
            self._require_one(tried, faults)
            following = self._proposed(tried, context.rng)
        best = best_of(tried)
        others = [one for one in self.instructions if one != best and tried[one].scored]
        control = others[int(context.rng.integers(len(others)))] if others else best
        return stored(tried, best, control)

    def _trial(self, instruction: str, rows: Examples, exam: Exam, context: Preparation) -> tuple[Trial, str]:
        """What comes of an instruction, and what became of the traces in words."""
        assert self.rewriter is not None
        new, outcomes = ModelRewriter(self.rewriter, instruction).on_rows(rows, context)
        accuracy = self._accuracy(new, exam, context) if outcomes.enough else float("nan")
        return Trial(accuracy, outcomes.share), str(outcomes)

    def _accuracy(self, rows: Examples, exam: Exam, context: Preparation) -> float:
        """What a student solves who learned from these rows."""
        student = context.fit(rows, self.steps)
        return exam.accuracy(student, context.teacher, int(rows.completions.lengths.max()))

    def _require_one(self, tried: Trials, faults: Mapping[str, str]) -> None:
        """Refuse a rewriter that can follow none of the instructions."""
        assert self.rewriter is not None
        most = max(faults, key=lambda instruction: tried[instruction].share)
        if not tried[most].scored:
            raise ConfigError(f"defense.{self.name}.rewriter", self.rewriter.path, f"{faults[most]}, told '{most}'")

    def _proposed(self, tried: Trials, rng: np.random.Generator) -> list[str]:
        """Instructions to be tried next."""
        left = self.candidates - (len(tried) - 1)
        if self.proposer is None or left <= 0:
            return []
        return [one for one in InstructionProposer(self.proposer)(scores_of(tried), rng) if one not in tried][:left]

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Rewrite the traces."""
        prepared = context.serving.prepared
        told = text_of(prepared, int(prepared["searched" if self.search else "random"])) if prepared else AS_IT_IS
        if told == AS_IT_IS:
            return responses
        assert self.rewriter is not None
        rows = np.flatnonzero(context.rng.random(len(responses)) < self.fraction)
        return release_rows(ModelRewriter(self.rewriter, told), rows, responses, context)
