"""When a cell cannot be trusted: facts of a run by which its numbers mean something else than they seem to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from experiments.measure.summary import Summary

CUT, FINISHED, TEACHER, PROMPTS, CHANGED = 0.05, 0.9, 0.05, 100, 0.01
"""Limits beyond which a guard trips."""


class Tripped(NamedTuple):
    """A guard that tripped.

    Args:
        guard: its name.
        what: what was found and what it does to the cell's numbers.
    """

    guard: str
    what: str


def tripped(summary: Summary) -> list[Tripped]:
    """Guards of one configuration, over its seeds, that tripped."""
    return list(_tripped(summary))


def _tripped(s: Summary) -> Iterator[Tripped]:
    fact = s.facts.get
    if fact("same_model"):
        yield Tripped("same_model", "teacher and student start from the same weights: the student has nothing to learn")
    for family in s.families:
        right = s.headline_estimate("T_clean", family).value
        if right is not None and right < TEACHER:
            found = f"the teacher answers {right:.1%} of {family} right: there is next to nothing to distil"
            yield Tripped("teacher_accuracy", found)
    if (cut := fact("cut_share")) is not None and cut > CUT:
        yield Tripped("cut_answers", f"{cut:.0%} of the harvested answers were cut at max_tokens: raise it")
    for family in s.families:
        ended = s.estimate("S_def_finished_share", family, s.decoding).value
        if ended is not None and ended < FINISHED:
            yield Tripped("cut_students", f"{1 - ended:.0%} of the student's answers to {family} do not end")
    if (prompts := fact("distinct_prompts")) is not None and prompts < PROMPTS:
        yield Tripped("few_prompts", f"only {prompts:,.0f} distinct prompts were answered")
    if s.names and (changed := fact("changed_share")) is not None and changed < CHANGED:
        yield Tripped("unchanged", f"the defense changed or refused {changed:.1%} of the answers: it hardly acted")
    if dropped := fact("overlap_dropped"):
        found = f"{dropped:,.3g} harvested answers (mean over seeds) were to prompts that ask what a scored item asks"
        yield Tripped("overlap", f"{found}: the student did not learn from them")
    if foreign := fact("foreign_share"):
        yield Tripped("template", f"{foreign:.0%} of the training prompts are not in the chat template of scoring")
