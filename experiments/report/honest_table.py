"""What limits and detectors cost honest users: refusals, waits and false alarms over all of their requests."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.honest_load import EVERYBODY, POOLED_GROUPS
from experiments.measure.summary import Summary
from experiments.report.grouping import by_threat, threat_text
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

GROUPS = {
    "everybody": "everybody",
    "hard_negatives": "hard negatives",
    "heaviest_1": "heaviest 1 %",
    "heaviest_0.1": "heaviest 0.1 %",
}
COLUMNS = {
    "load_accounts": Column("load_accounts", "accounts", "count"),
    "load_requests": Column("load_requests", "requests", "count"),
    "load_refused": Column("load_refused", "refused"),
    "load_wait": Column("load_wait", "wait", "seconds"),
    "load_wait_p95": Column("load_wait_p95", "wait, p95", "seconds"),
    "load_puzzle": Column("load_puzzle", "puzzle", "seconds"),
    "load_false_alarms": Column("load_false_alarms", "shut out"),
}


NOTES = (
    "All requests of the honest population in the window are judged; means over seeds. Refused: share of requests never "
    "answered. Wait: seconds from a request's planned time to its last attempt, mean and 95th percentile. Puzzle: "
    "seconds of "
    "proof-of-work a request. Shut out: share of accounts suspected, rejected or banned, all of them wrongly. Heaviest: "
    "accounts with the most requests, one at least. Hard negatives: users who look like attackers for honest reasons.",
    "Accuracy, trace and price of honest use are of a random sample of these requests, in which each held-out item is asked "
    "once; only these are answered in text.",
)


def honest_table(summaries: Sequence[Summary], every_kind: bool = False) -> Table | None:
    """Four rows a defense that judges requests, and with ``every_kind`` one for each kind of user besides; None where there
    is no such defense. Attacks that make no difference to honest users, as where each account is judged for itself, share
    these rows."""
    rows: list[dict[str, Value]] = []
    groups = by_threat(summaries)
    attacks_told = False
    for cells in groups:
        where = threat_text(cells[0], summaries)
        found: dict[tuple[object, ...], list[Summary]] = {}
        for s in cells:
            if s.estimate("load_requests", EVERYBODY).value is not None:
                found.setdefault((s.defense, *(v for g in POOLED_GROUPS for v in _row(s, g).values())), []).append(s)
        lost_by = [alike[0].defense for alike in found.values()]
        for alike in found.values():
            told = lost_by.count(alike[0].defense) > 1
            attacks_told |= told
            attack = ", ".join(dict.fromkeys(s.attack for s in alike)) if told else "any"
            for group in (*POOLED_GROUPS, *(_kinds(alike[0]) if every_kind else ())):
                own = _row(alike[0], group)
                if own["load_requests"] is not None:
                    named = GROUPS.get(group, group.replace("_", " "))
                    names = {"defense": alike[0].defense, "threat": where, "attack": attack, "group": named}
                    rows.append({**names, **own})
    if not rows:
        return None
    columns = (
        Column("defense", "defense", "text", 0),
        *([Column("threat", "threat model", "text", 0)] if len({row["threat"] for row in rows}) > 1 else []),
        *([Column("attack", "attack", "text", 0)] if attacks_told else []),
        Column("group", "honest users", "text", 0),
        *COLUMNS.values(),
    )
    return Table("honest_load", "What honest users lose", columns, tuple(rows), NOTES)


def _kinds(summary: Summary) -> list[str]:
    """The kinds of users whose requests were judged."""
    return sorted({key.family for key in summary.estimates if key.name == "load_requests"} - set(POOLED_GROUPS))


def _row(summary: Summary, group: str) -> dict[str, float | None]:
    return {name: summary.estimate(name, group).value for name in COLUMNS}
