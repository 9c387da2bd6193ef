"""What honest users lose in answers, by what they ask about."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.panel import ALL
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.grouping import by_defense, by_threat, threat_text
from experiments.report.names import family_name, family_order
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

NOTE = "Points of accuracy that honest users lose against the same users without the defense; refusals count as wrong."


def losses_table(summaries: Sequence[Summary]) -> Table | None:
    """A row a defense and threat model, of the first of its attacks; a column a family. None where nothing is defended."""
    if not any(s.names for s in summaries):
        return None
    families = [f for f in family_order(sorted({f for s in summaries for f in s.families})) if f != POOLED]
    groups = by_threat(summaries)
    rows: list[dict[str, Value]] = [
        {
            "defense": label,
            "threat": threat_text(group[0], summaries),
            **{f"lost {f}": cells[0].estimate("honest_drop", f, "", "strict") for f in (*families, ALL)},
        }
        for group in groups
        for label, cells in by_defense(group).items()
        if cells[0].names
    ]
    columns = (
        Column("defense", "defense", "text", 0),
        *([Column("threat", "threat model", "text", 0)] if len(groups) > 1 else []),
        *(Column(f"lost {f}", family_name(f)) for f in families),
        Column(f"lost {ALL}", "all users"),
    )
    return Table("losses", "Accuracy that honest users lose, by what they ask", columns, tuple(rows), (NOTE,))
