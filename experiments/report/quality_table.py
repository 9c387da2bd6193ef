"""What honest users get through each defense, besides answers that are right."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.panel import ALL
from experiments.measure.summary import Summary
from experiments.report.floor import floor_note
from experiments.report.grouping import by_defense, by_threat, threat_text
from experiments.report.names import seeds_caveat
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

COLUMNS = (
    Column("accuracy", "accuracy"),
    Column("drop", "lost"),
    Column("trace", "trace seen"),
    Column("audited", "steps follow"),
    Column("ece", "calibration error"),
    Column("wait", "wait", "seconds"),
    Column("passes", "extra passes"),
    Column("dollars", "extra cost", "dollars"),
    Column("tampering", "tampering seen"),
)

NOTES = (
    "Accuracy counts refusals as wrong; lost: against the same users without the defense. Trace seen: share of the working "
    "that is shown. Steps follow: share of the shown workings each of whose steps follows from those before, by the task's "
    "verifier. Calibration error: of the sold probability of the answer; blank where none is sold. Wait: mean seconds that "
    "limits hold a request back. Extra passes: forward passes of other models per token; extra cost: their work per answer, "
    "at the price of the teacher's.",
    "Tampering seen: probability that a classifier finds a defended working more suspect than a clean one of equal length "
    "(.5: it sees nothing); blank where no defense changes answers, or no working is shown.",
)


def quality_table(summaries: Sequence[Summary]) -> Table | None:
    """A row per defense and threat model, of the first of its attacks; None where nothing is defended."""
    groups = by_threat(summaries)
    rows = [
        {"defense": label, "threat": threat_text(group[0], summaries), **_row(cells[0])}
        for group in groups
        for label, cells in by_defense(group).items()
    ]
    if not any(s.names for s in summaries):
        return None
    columns = (
        Column("defense", "defense", "text", 0),
        *([Column("threat", "threat model", "text", 0)] if len(groups) > 1 else []),
        *(column for column in COLUMNS if any(_shown(row[column.key]) for row in rows)),
    )
    lost = {ALL: [s.estimate("honest_drop", ALL, "", "strict") for s in summaries if s.names]}
    notes = (*NOTES, floor_note("loss of honest accuracy", lost), seeds_caveat(summaries))
    return Table("quality", "What honest users get", columns, tuple(rows), tuple(filter(None, notes)))


def _row(s: Summary) -> dict[str, Value]:
    return {
        "accuracy": s.estimate("T_def", ALL, "", "strict"),
        "drop": s.estimate("honest_drop", ALL, "", "strict"),
        "trace": s.estimate("trace_kept", ALL).value,
        "audited": s.estimate("trace_audited", ALL),
        "ece": s.estimate("ECE", ALL),
        "wait": s.estimate("wait_seconds", ALL).value,
        "passes": s.estimate("extra_passes").value,
        "dollars": s.estimate("extra_dollars").value,
        "tampering": s.estimate("tampering"),
    }


def _shown(value: Value) -> bool:
    return (value if isinstance(value, str | int | float | None) else value.value) is not None
