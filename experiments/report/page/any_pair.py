"""Any two defenses at equal honest accuracy, as a page needs them: every pair, compared and corrected once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.matched_table import Comparison, comparisons, corrected
from experiments.report.names import family_name
from experiments.report.page.spelled import numbers, words
from experiments.report.pairs_table import WORDS
from experiments.report.reference import EVERY_PAIR, Reference

MOST_PAIRS = 6_000
"""Differences on a page; of more, only those of all families together."""


def any_pair(summaries: Sequence[Summary]) -> dict[str, Any]:
    """``names`` that can be compared, ``lines`` (one a setting, family and drop: students and differences of pairs, by
    places in ``names``) and ``note``; JSON-able. The same numbers as of ``moatbench table --reference all``."""
    found, _ = comparisons(summaries, Reference(EVERY_PAIR))
    if not found:
        return {"names": [], "lines": [], "note": ""}
    notes = [corrected(found)]
    shown: list[Comparison] = found
    if sum(len(c.difference) for c in found) > MOST_PAIRS:
        shown = [c for c in found if c.family == POOLED]
        notes.append(
            "There are too many pairs for a page: only those of all families together are here, all in the CSV."
        )
    names = sorted({name for c in shown for name, e in c.accuracy.items() if e.value is not None})
    place = {name: i for i, name in enumerate(names)}
    lines = [
        {
            "setting": c.setting,
            "family": family_name(c.family),
            "drop": f"{100 * c.drop:.1f}" + ("*" if c.common else ""),
            "at": numbers(c.drop),
            "students": {place[n]: [words(e, "share"), *numbers(e)] for n, e in c.accuracy.items() if n in place},
            "pairs": [
                [
                    place[a],
                    place[b],
                    words(v.estimate, "share"),
                    words(v.p, "p"),
                    WORDS[v.reading],
                    *numbers(v.estimate),
                ]
                for (a, b), v in c.difference.items()
                if v.estimate.value is not None
            ],
        }
        for c in shown
    ]
    return {"names": names, "lines": [line for line in lines if line["pairs"]], "note": " ".join(notes)}
