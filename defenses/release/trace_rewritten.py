"""Rewrite traces so that they stay right and teach little: the rewriting is searched with students of the provider's own.
Knows nothing of tasks; which rewritings there are, `defenses.release.rewriting_grammar` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from configs.errors import require
from configs.ranges import at_least
from defenses.base import Defense, Preparation, Prepared, ReleaseContext
from defenses.release.exam import Exam, clean_with_trace
from defenses.release.rewriter import Arrangement, release_as
from defenses.release.rewriting_grammar import GENOMES, UNCHANGED, Genome, arranged, kept_share, parsed
from defenses.strength import Strength
from lm.examples import Examples
from lm.later import torch
from lm.ragged import Ragged
from lm.types import ResponseFormat
from teacher.api.schema import Responses

ALIKE = 8
"""Rewritings of about the same cost among which the control is drawn."""


@dataclass(frozen=True)
class TraceRewritten(Defense):
    """Rewrites every trace by one genome of a grammar, the one of which the provider's own students learn least.

    A genome (`defenses.release.rewriting_grammar.Genome`) leaves out, moves or repeats statements of the trace. Each
    statement that is shown stays as true as it was. A response whose answer, calls or tool results would not come out as
    they were, token by token, is left alone.

    Preparation, a (1+1) evolution: those genomes are allowed that leave at least ``keep`` of clean traces
    (`rewriting_grammar.kept_share`). The first half of the candidates is the unchanged text and random genomes, the second
    half are genomes that differ from the best so far in one gene. Each candidate is scored by the share of the provider's
    own tasks that a student solves which was trained on clean traces rewritten so; the tasks are the same for all
    candidates and none of those trained on. The lowest wins; the unchanged text where nothing is lower. Responses without a
    trace are the same for all candidates, and are not trained on.

    Prepared: the winner's genes ``searched`` (6,), those of the control ``random`` (6,), and the search itself: ``tried``
    (C, 6), ``accuracy`` (C,), ``kept`` (C,). Nothing at ``keep`` 1, where text leaves as it is. In the mini world the
    default takes 12 fits of 2 to 3 seconds of one core, 37 seconds in all. Students so small tell what teaches from what
    does not; among rewritings that teach little their order is noise. In text models a tag that opens the trace counts to
    its first statement.

    The paper lets a language model reword traces under instructions that evolve, which is `trace_instructed`; here the
    grammar stands in for both.

    Args:
        keep: least share of the trace that a rewriting leaves in its order, in (0, 1]; 1 changes nothing.
        search: whether the winner is served. If not, the control: a random genome among the 8 that come nearest to it in
            the share kept, from the same preparation.
        candidates: genomes that are tried, the unchanged text included.
        rows: clean traces that are rewritten.
        items: tasks that a student is scored on.
        steps: most optimizer steps of a student.
    """

    name: ClassVar[str] = "trace_rewritten"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "arXiv 2602.15143, with a grammar in place of a rewriting language model"
    checked: ClassVar[str] = (
        "every arrangement on many responses: answers kept, statements true; a search with known scores"
    )
    needs: ClassVar[tuple[str, ...]] = ("trace",)
    trains: ClassVar[bool] = True
    rewords: ClassVar[bool] = True
    strength: ClassVar[Strength | None] = Strength("keep", 1, 0.3)
    prepared_from: ClassVar[tuple[str, ...] | None] = ("keep", "candidates", "rows", "items", "steps")

    keep: float
    search: bool = True
    candidates: int = 12
    rows: int = 500
    items: int = 200
    steps: int = 60

    def __post_init__(self) -> None:
        require(0 < self.keep <= 1, "keep", self.keep, "must lie in (0, 1]")
        at_least(self, 1, "candidates", "rows", "items", "steps")

    def prepare(self, context: Preparation) -> Prepared:
        """The genomes found, and what was tried."""
        if self.keep == 1:
            return {}
        rows = clean_with_trace(context, self.rows, self.name)
        exam = Exam.on(context.items(self.rows + self.items), rows, self.items)
        kept = _kept(rows, context.teacher.format)
        allowed = [genome for genome, share in kept.items() if share >= self.keep]
        tried: dict[Genome, float] = {}
        while len(tried) < min(self.candidates, len(allowed)):
            genome = self._next(tried, allowed, context.rng)
            example = rewritten(rows, context.teacher.format, genome)
            student = context.fit(example, self.steps)
            tried[genome] = exam.accuracy(student, context.teacher, int(example.completions.lengths.max()))
            context.progress(len(tried), self.candidates, f"accuracy {min(tried.values()):.3f}")
        best = min(tried, key=lambda genome: (tried[genome], -kept[genome]))
        others = sorted(set(kept) - {best, UNCHANGED}, key=lambda genome: (abs(kept[genome] - kept[best]), genome))
        control = others[int(context.rng.integers(min(ALIKE, len(others))))] if others else best
        return {
            "searched": torch.tensor(best),
            "random": torch.tensor(control),
            "tried": torch.tensor(list(tried)),
            "accuracy": torch.tensor(list(tried.values()), dtype=torch.float64),
            "kept": torch.tensor([kept[genome] for genome in tried], dtype=torch.float64),
        }

    def _next(self, tried: dict[Genome, float], allowed: Sequence[Genome], rng: np.random.Generator) -> Genome:
        """The next candidate."""
        if not tried:
            return UNCHANGED
        left = [genome for genome in allowed if genome not in tried]
        best = min(tried, key=lambda genome: tried[genome])
        near = [genome for genome in left if sum(a != b for a, b in zip(genome, best, strict=True)) == 1]
        pool = near if near and len(tried) >= (self.candidates + 1) // 2 else left
        return pool[int(rng.integers(len(pool)))]

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Rewrite the traces."""
        if not context.serving.prepared:
            return responses
        genome = Genome(*context.serving.prepared["searched" if self.search else "random"].tolist())
        parse = parsed(responses.tokens, responses.channel, context.format)
        places = arranged(parse, len(responses), genome)
        new = Ragged(responses.tokens.values[places.values], places.offsets)
        return release_as(Arrangement(new), responses, context, strict=False)


def rewritten(rows: Examples, format: ResponseFormat, genome: Genome) -> Examples:
    """Training rows in another arrangement of their traces."""
    at = arranged(parsed(rows.completions, rows.channel, format), len(rows), genome)
    completions = Ragged(rows.completions.values[at.values], at.offsets)
    return replace(rows, completions=completions, channel=rows.channel[at.values], weight=rows.weight[at.values])


def _kept(rows: Examples, format: ResponseFormat) -> dict[Genome, float]:
    """How much of the rows each genome leaves; of those that rewrite them alike, the first alone."""
    parse = parsed(rows.completions, rows.channel, format)
    kinds = {arranged(parse, len(rows), genome).values.tobytes(): genome for genome in reversed(GENOMES)}
    return {g: kept_share(parse, rows.channel, arranged(parse, len(rows), g)) for g in reversed(kinds.values())}
