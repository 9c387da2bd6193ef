"""What defenses can prove of a student, and what attacks found out besides training rows."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.cell_result import BY_DEFENSE, FINDING
from experiments.measure.summary import Summary
from experiments.report.grouping import setting_text
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

SUSPECTS = {"": "student", "_clean": "undefended twin", "_self": "without the teacher"}
"""By the end of a fact's name, whom it is of."""
NO_NULL = (
    "For a test of whether a student learnt from this teacher at all (similar answers, lower losses on what was served) the "
    "undefended twin is no null: it learnt from the teacher too."
)


def evidence_table(summaries: Sequence[Summary]) -> Table | None:
    """A row a test of a defended cell whose student somebody looked into; None where nobody did."""
    looked = [s for s in summaries if s.facts.get("evidence_p") is not None]
    if not looked:
        return None
    several = any(_tests(s) != [""] for s in looked)
    rows: list[dict[str, Value]] = [
        {
            "defense": s.defense,
            "attack": setting_text(s, looked),
            **({"test": test.removeprefix(BY_DEFENSE) or ", ".join(s.names)} if several else {}),
            **{f"p{end}": s.facts.get(f"evidence_p{end}{test}") for end in SUSPECTS},
            **{f"statistic{end}": s.facts.get(f"evidence{end}{test}") for end in SUSPECTS},
        }
        for s in looked
        for test in _tests(s)
    ]
    columns = (
        Column("defense", "defense", "text", 0),
        Column("attack", "attack", "text", 0),
        *([Column("test", "test", "text", 0)] if several else []),
        *(Column(f"p{end}", f"p, {whose}", "share") for end, whose in SUSPECTS.items()),
        *(Column(f"statistic{end}", f"statistic, {whose}", "share") for end, whose in SUSPECTS.items()),
    )
    note = (
        "Means over seeds, whose p-values are of tests of their own. The undefended twin learnt from the same teacher "
        "without the defense, the last student from its own answers: where the test is right their p-values are uniform, .5 "
        "on average."
    )
    return Table(
        "evidence", "What the provider can prove", columns, tuple(rows), (note, *([NO_NULL] if several else []))
    )


def _tests(summary: Summary) -> list[str]:
    """How the facts of each test of a cell end where several defenses test, "" where one does."""
    begin = f"evidence_p{BY_DEFENSE}"
    return [name.removeprefix("evidence_p") for name in summary.facts if name.startswith(begin)] or [""]


def _told(value: float | None) -> float | None:
    """A mean over seeds, to what can be read: a gap to hundredths, a size to tenths."""
    return None if value is None else float(f"{value:.3g}")


def findings_table(summaries: Sequence[Summary]) -> Table | None:
    """A row a cell whose attack looked for something besides answers; None where none did."""
    looked = [s for s in summaries if any(name.startswith(FINDING) for name in s.facts)]
    if not looked:
        return None
    names = sorted({name for s in looked for name in s.facts if name.startswith(FINDING)})
    rows: list[dict[str, Value]] = [
        {"defense": s.defense, "attack": setting_text(s, looked), **{name: _told(s.facts.get(name)) for name in names}}
        for s in looked
    ]
    columns = (
        Column("defense", "defense", "text", 0),
        Column("attack", "attack", "text", 0),
        *(
            Column(
                name, name.removeprefix(FINDING).replace("_", " "), "dollars" if name.endswith("_dollars") else "number"
            )
            for name in names
        ),
    )
    note = "Means over seeds; blank where the attack looked in vain in all of them."
    return Table("findings", "What the attacker found out", columns, tuple(rows), (note,))
