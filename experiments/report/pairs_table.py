"""Every pair of defenses at equal honest accuracy, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.report.floor import floor_note
from experiments.report.matched_table import Comparison, corrected, worth_showing
from experiments.report.names import family_name, family_order
from experiments.report.reference import EVERY_PAIR
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

WORDS = {"lost": "higher", "gained": "lower", "unchanged": "alike", "undecided": "undecided"}
"""How the first defense's student stands to the second's, by reading of the difference."""


def pairs_table(found: Sequence[Comparison]) -> Table | None:
    """A row a pair, drop, family and attack; None where defenses are compared with a reference alone."""
    shown, left_out = worth_showing(found)
    rows: list[dict[str, Value]] = [
        {
            "attack": c.setting,
            "family": family_name(c.family),
            "drop": f"{100 * c.drop:.1f}" + ("*" if c.common else ""),
            "first": first,
            "second": second,
            "of first": c.accuracy[first],
            "of second": c.accuracy[second],
            "difference": verdict.estimate,
            "p": verdict.p,
            "reading": WORDS[verdict.reading],
        }
        for c in shown
        if c.reference == EVERY_PAIR
        for (first, second), verdict in c.difference.items()
        if verdict.estimate.value is not None
    ]
    if not rows:
        return None
    columns = (
        Column("attack", "attack", "text", 0),
        Column("family", "family", "text", 0),
        Column("drop", "drop", "text", 0),
        Column("first", "defense", "text", 0),
        Column("second", "compared with", "text", 0),
        Column("of first", "its student"),
        Column("of second", "the other's"),
        Column("difference", "difference"),
        Column("p", "p (Holm)", "p"),
        Column("reading", "student is", "text"),
    )
    gaps = {
        f: [v.estimate for c in shown if c.family == f for v in c.difference.values()]
        for f in family_order(sorted({c.family for c in shown}))
    }
    notes = (
        corrected(found),
        "The student is higher or lower where the interval excludes 0, alike where it lies within ±.05, else undecided.",
        floor_note("difference at equal honest accuracy", gaps),
        f"No difference is resolved in {', '.join(left_out)}: left out here, in the CSV." if left_out else "",
    )
    return Table("pairs", "Every pair at equal honest accuracy", columns, tuple(rows), tuple(filter(None, notes)))
