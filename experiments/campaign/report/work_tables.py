"""Tables of how long it takes: until an operation is contained, and what reviewers have to look at for that."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.campaign.measure.containment import SILENCE
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.naming import in_percent, policy_name, scaled, spaced
from experiments.campaign.report.tables import POLICY, range_note
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

GOALS = {"gone_50": "half gone", "gone_90": "90 % gone", "stop": "stopped"}
"""What containment is, as measured -> as printed."""
TITLES = ("Until half of its accounts are gone", "Until 90 % of its accounts are gone", "Until its harvest has stopped")
NEVER = "never"


def review_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each policy under which groups were found."""
    columns = (
        POLICY,
        Column("groups_per_day", "groups found a day", "number"),
        Column("reviews_per_day", "reviewed a day", "number"),
        Column("reviews_most", "on the busiest day", "count"),
        Column("acted_accounts_per_day", "accounts acted on a day", "number"),
        Column("waiting_most", "groups waiting, at most", "count"),
        Column("given_up_share", "given up %, at most", "number"),
    )
    daily = ("groups_per_day", "reviews_per_day", "acted_accounts_per_day")
    rows = []
    for s in summaries:
        if not s.of("clusters").value and not s.of("reviews").value:
            continue
        row: dict[str, Value] = {c.key: s.of(c.key) for c in columns[1:]}
        row |= {key: scaled(s.of(key), 1.0) for key in daily}
        rows.append(row | {"policy": policy_name(s.policy), "given_up_share": in_percent(s.of("given_up_share"))})
    notes = (
        "Reviewed: looked at by the provider's reviewers. Accounts acted on: those in groups that were acted upon. A group "
        "that is found again on another day counts again.",
        "Waiting: at the end of an epoch. Given up: of the groups whose patience ran out within the campaign. Both are the "
        "most that the tables allow, 0 where reviews were left over each day; groups whose accounts were all gone are among "
        "them.",
        *range_note(summaries),
    )
    return Table("reviews", "What reviewers have to do", columns, tuple(rows), notes)


def containment_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each policy and operation, and for all together where there are several."""
    several = any(len(s.seeds) > 1 for s in summaries)
    columns = [POLICY, Column("operation", "operation", "text", 0)]
    for block, goal in enumerate(GOALS, start=1):
        columns += [
            Column(f"days_to_{goal}", f"{GOALS[goal]}: days", "number", block),
            Column(f"exchanges_to_{goal}", f"{GOALS[goal]}: exchanges", "count", block),
        ]
        columns += [Column(f"seeds_{goal}", f"{GOALS[goal]}: seeds", "text", block)] if several else []
    rows = []
    for s in summaries:
        operations = s.names("operation")
        for name in ["", *operations] if len(operations) > 1 else operations:
            head: dict[str, Value] = {"policy": policy_name(s.policy), "operation": spaced(name) or "all together"}
            row: dict[str, Value] = {}
            for goal in GOALS:
                row |= _reached(s, goal, Key(f"contained_{goal}", "operation" if name else "", name), several)
            rows.append(head | row)
    notes = (
        "Days from the beginning of the epoch of the operation's first answered exchange to the end of an epoch; usable "
        "exchanges harvested by then. Gone: banned or lost to verification, of all accounts that the operation ever had. "
        "Stopped: no usable exchange in what was left of its plan, which was at least "
        f"{SILENCE:g} day, and less than the plan harvested.",
        *(["Seeds: in how many of them it came; days and exchanges are of those."] if several else []),
        *range_note(summaries),
    )
    return Table("containment", "Time to contain", tuple(columns), tuple(rows), notes, TITLES)


def _reached(s: PolicySummary, goal: str, contained: Key, several: bool) -> dict[str, Value]:
    part, of = contained.part, contained.of
    days: Value = scaled(s.of(f"days_to_{goal}", part, of), 1.0)
    passed: Value = s.of(f"exchanges_to_{goal}", part, of)
    times = sum(bool(measured[contained].value) for measured in s.by_seed)
    if s.of(*contained).value == 0:
        days, passed = NEVER, None
    found: dict[str, Value] = {f"days_to_{goal}": days, f"exchanges_to_{goal}": passed}
    return found | ({f"seeds_{goal}": f"{times} of {len(s.seeds)}"} if several else {})
