"""Tables of detection: detectors, kinds of honest accounts, groups found, operations, providers."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.campaign.measure.detection import ANY
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.measure.roc import RATES
from experiments.campaign.report.naming import detector_name, in_percent, policy_name, rate_name, scaled, spaced
from experiments.campaign.report.tables import POLICY, brackets, range_note
from experiments.campaign.report.threshold_table import threshold_table
from experiments.campaign.report.work_tables import containment_table, review_table
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table


def detection_tables(summaries: Sequence[PolicySummary]) -> list[Table]:
    """Those tables for which there is anything to show."""
    built = (
        detector_table, alarm_table, threshold_table, kind_table, group_table, review_table, containment_table,
        operation_table, provider_table,
    )  # fmt: skip
    return [table for table in (build(summaries) for build in built) if table.rows]


def detector_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each policy and detector."""
    columns = [POLICY, Column("detector", "detector", "text", 0)]
    for block, suffix, what in ((1, "", ""), (2, "_requests", "requests ")):
        columns += [Column(f"tpr_{rate:.0e}{suffix}", f"{what}at {rate_name(rate)}", "share", block) for rate in RATES]
        columns.append(Column(f"auc{suffix}", f"{what}AUC", "share", block))
    rows: list[dict[str, Value]] = []
    for s in summaries:
        for name in (n for n in s.names("detector") if n != ANY):
            row: dict[str, Value] = {c.key: s.of(c.key, "detector", name) for c in columns[2:]}
            rows.append(row | {"policy": policy_name(s.policy), "detector": detector_name(name)})
    notes = (
        "Share of attack accounts over a threshold that so many of the honest accounts are over (at most); – where "
        "there are too few honest accounts for one false alarm at that rate. Never judged ranks lowest.",
        "By requests: of attack requests, at so many of the honest requests.",
        brackets(summaries),
    )
    titles = ("Attack accounts caught, by false-alarm rate", "The same by requests")
    return Table("detectors", "Detectors", tuple(columns), tuple(rows), notes, titles)


def alarm_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each policy and detector, and for all together: what it alarmed on at its own threshold, and how
    soon."""
    columns = (
        POLICY,
        Column("detector", "detector", "text", 0),
        Column("caught", "caught %", "number"),
        Column("false_alarms", "false alarms %", "number"),
        Column("false_alarms_hard", "hard negatives %", "number"),
        Column("false_alarms_other", "other honest %", "number"),
        Column("days_to_alarm", "median days", "number"),
    )
    rows: list[dict[str, Value]] = []
    for s in summaries:
        for name in s.names("detector"):
            row: dict[str, Value] = {c.key: in_percent(s.of(c.key, "detector", name)) for c in columns[2:6]}
            row["days_to_alarm"] = scaled(s.of("days_to_alarm", "detector", name), 1.0)
            rows.append(row | {"policy": policy_name(s.policy), "detector": detector_name(name)})
    notes = (
        "Of attack accounts, honest accounts, those whose use looks like an attacker's (hard negatives), the others.",
        "Median days from opening to an account's first alarm by any detector, never counting as later than any; – where "
        "half or more never had one.",
        brackets(summaries),
    )
    return Table("alarms", "Alarms at the detectors' own thresholds", columns, tuple(rows), notes)


def kind_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each kind of honest account and each policy under which anything happened to any of them."""
    columns = (
        POLICY,
        Column("kind", "kind", "text", 0),
        Column("hard", "hard", "text", 0),
        Column("accounts", "accounts", "count"),
        Column("alarmed", "alarmed on %", "number"),
        Column("acted", "acted on %", "number"),
        Column("banned", "banned %", "number", 2),
        Column("lost", "lost %", "number", 2),
    )
    rows: list[dict[str, Value]] = []
    for s in summaries:
        if not any(s.of(c.key, "kind", kind).value for c in columns[4:] for kind in s.names("kind")):
            continue
        for kind in sorted(s.names("kind"), key=lambda k: (-(s.of("hard", "kind", k).value or 0.0), k)):
            row: dict[str, Value] = {c.key: in_percent(s.of(c.key, "kind", kind)) for c in columns[4:]}
            hard = "yes" if s.of("hard", "kind", kind).value else "no"
            head: dict[str, Value] = {"policy": policy_name(s.policy), "kind": spaced(kind), "hard": hard}
            rows.append(head | {"accounts": s.of("accounts", "kind", kind)} | row)
    notes = (
        "Hard: a hard negative, which uses the API much as an attacker does. Policies under which nothing happened to any "
        "honest account are left out.",
        brackets(summaries),
    )
    titles = ("Alarms", "Bans and verification")
    return Table("honest_kinds", "Honest accounts by kind", columns, tuple(rows), notes, titles)


def group_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each policy and detector that finds groups."""
    columns = (
        POLICY,
        Column("finder", "found by", "text", 0),
        Column("clusters", "groups", "count"),
        Column("clusters_acted", "acted on", "count"),
        Column("cluster_size", "mean size", "number"),
        Column("cluster_largest", "largest", "count"),
        Column("purity", "purity", "share"),
        Column("merged", "merged", "count"),
        Column("honest_only", "honest only", "count"),
    )
    rows = []
    for s in summaries:
        for name in s.names("finder"):
            row: dict[str, Value] = {c.key: s.of(c.key, "finder", name) for c in columns[2:]}
            row["cluster_size"] = scaled(s.of("cluster_size", "finder", name), 1.0)
            rows.append(row | {"policy": policy_name(s.policy), "finder": spaced(name)})
    notes = (
        "Purity: share of a group's accounts that belong to its main operation, over groups weighted by size. Merged: with "
        "accounts of several operations. A group that is found again on another day counts again.",
    )
    return Table("groups", "Groups found", columns, tuple(rows), (*notes, *range_note(summaries)))


def operation_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each policy and operation."""
    columns = (
        POLICY,
        Column("operation", "operation", "text", 0),
        Column("planned", "planned", "count"),
        Column("usable", "usable", "count"),
        Column("usable_share", "% of plan", "number"),
        Column("attack_accounts", "accounts", "count"),
        Column("burnt_share", "burnt %", "number"),
        Column("completeness", "in a group %", "number"),
        Column("dollars_per_usable", "$ per usable", "dollars"),
    )
    rows = []
    for s in summaries:
        for name in s.names("operation"):
            row: dict[str, Value] = {c.key: s.of(c.key, "operation", name) for c in columns[2:]}
            row |= {
                key: in_percent(s.of(key, "operation", name)) for key in ("usable_share", "burnt_share", "completeness")
            }
            rows.append(row | {"policy": policy_name(s.policy), "operation": spaced(name)})
    notes = (
        "In a group: share of the operation's accounts that are in any group found (completeness).",
        brackets(summaries),
    )
    return Table("operations", "Operations", columns, tuple(rows), notes)


def provider_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each policy and provider; none where there is one provider."""
    columns = (
        POLICY,
        Column("provider", "provider", "text", 0),
        Column("usable", "usable exchanges", "count"),
        Column("attack_banned", "attack accounts banned", "count"),
        Column("honest_banned", "honest accounts banned", "count"),
        Column("honest_refused", "honest 429 %", "number"),
    )
    rows = []
    for s in summaries:
        for name in s.names("provider"):
            row: dict[str, Value] = {c.key: s.of(c.key, "provider", name) for c in columns[2:]}
            row["honest_refused"] = in_percent(s.of("honest_refused", "provider", name))
            rows.append(row | {"policy": policy_name(s.policy), "provider": spaced(name)})
    if len({row["provider"] for row in rows}) < 2:
        rows = []
    return Table("providers", "Providers", columns, tuple(rows), range_note(summaries))
