"""The claims that a report can judge, each with its verdict."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.report.finding import WHAT_VERDICTS_MEAN, Finding, Ground, Judge
from experiments.report.spelling import Value, with_interval
from experiments.report.structure import Column, Table


def claims_table(found: Sequence[tuple[Judge, Finding]]) -> Table | None:
    """A row a claim; None where no claim could be judged."""
    if not found:
        return None
    rows: list[dict[str, Value]] = [
        {
            "claim": f"{claim.label} {claim.name}".strip(),
            "predicted": claim.statement,
            "verdict": finding.verdict,
            "evidence": "; ".join(map(_ground, finding.evidence)),
            "source": claim.source,
        }
        for claim, finding in found
    ]
    columns = (
        Column("claim", "claim", "text", 0),
        Column("predicted", "predicted", "text"),
        Column("verdict", "verdict", "text"),
        Column("evidence", "evidence", "text"),
        Column("source", "source", "text"),
    )
    note = f"{WHAT_VERDICTS_MEAN} Intervals and readings are corrected for their families of comparisons (Holm)."
    return Table("claims", "Claims that these cells can judge", columns, tuple(rows), (note,))


def evidence_table(finding: Finding) -> Table:
    """A row a ground of one claim."""
    rows: list[dict[str, Value]] = [
        {"what": g.what, "estimate": g.found.estimate, "p": g.found.p, "says": g.says} for g in finding.evidence
    ]
    columns = (
        Column("what", "evidence", "text", 0),
        Column("estimate", "estimate"),
        Column("p", "p (Holm)", "p"),
        Column("says", "says", "text"),
    )
    return Table("evidence", "What the verdict rests on", columns, tuple(rows), (WHAT_VERDICTS_MEAN,))


def _ground(ground: Ground) -> str:
    return f"{ground.what} {with_interval(ground.found.estimate, 'share')} {ground.says}"
