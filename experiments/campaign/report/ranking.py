"""One ranking of policies: what the attacker got, what it paid, what honest users lost; and which policy that speaks for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.naming import UNDEFENDED, in_percent, per, policy_name
from experiments.campaign.report.tables import brackets
from experiments.measure.estimate import Estimate
from experiments.report.spelling import Value, enumeration
from experiments.report.structure import Column, Table

LEVEL = 0.05
"""Chance, at most, that a policy is recommended where all do the same."""


def seeds_needed(policies: int) -> int:
    """Seeds from which a policy that is ahead in each of them can be recommended: where all of ``policies`` (at least 2) do
    the same, the chance that one of them is ahead in all n seeds is policies^(1 - n), a sign test for many."""
    return 1 + math.ceil(round(math.log(1 / LEVEL) / math.log(policies), 9))


def ranking(summaries: Sequence[PolicySummary]) -> tuple[Table, str]:
    """The table, the least harvest first, and a recommendation in words.

    Args:
        summaries: of one preset.
    """
    columns = (
        Column("policy", "policy", "text", 0),
        Column("usable_share", "% of plan harvested", "number"),
        Column("dollars_per_usable", "$ per usable", "dollars"),
        Column("gone", "honest lost or banned, of 100,000", "number"),
    )
    rows: tuple[dict[str, Value], ...] = tuple(
        {
            "policy": policy_name(s.policy),
            "usable_share": in_percent(s.of("usable_share")),
            "dollars_per_usable": s.of("dollars_per_usable"),
            "gone": per(s.of("honest_gone_share"), 1e5, 3),
        }
        for s in sorted(summaries, key=_harvest)
    )
    notes = ("The least harvest first.", brackets(summaries))
    return Table("ranking", "Policies by harvest, price and harm", columns, rows, notes), recommendation(summaries)


def recommendation(summaries: Sequence[PolicySummary]) -> str:
    """Which policy harvests least, if it does so in each of `seeds_needed` and its range lies apart from all others' (ranges
    alone lie apart by luck in few seeds); otherwise what is undecided and why."""
    known = [s for s in sorted(summaries, key=_harvest) if s.of("usable_share").value is not None]
    if len(known) < 2 or all(s.policy in UNDEFENDED for s in known):
        return ""
    best, rest = known[0], known[1:]
    name = policy_name(best.policy)
    seeds = min(len(s.seeds) for s in known)
    needed = seeds_needed(len(known))
    if seeds < needed:
        return (
            f"No policy is recommended: {name} let the least through, but that rests on {seeds} seed"
            f"{'' if seeds == 1 else 's'}; where {len(known)} policies do the same, one of them is ahead in each of so few "
            f"too often. {needed} seeds can decide."
        )
    close = [s for s in rest if not _below(best.of("usable_share"), s.of("usable_share"))]
    if close:
        others = enumeration([policy_name(s.policy) for s in close])
        return f"Undecided in {seeds} seeds between {name} and {others}: their harvests overlap. More seeds may tell."
    milder = [s for s in rest if _below(s.of("honest_gone_share"), best.of("honest_gone_share"))]
    cost = f"; {enumeration([policy_name(s.policy) for s in milder])} cost honest users less" if milder else ""
    return f"{name} lets the least through in each of {seeds} seeds, apart from all others{cost}."


def _harvest(s: PolicySummary) -> float:
    value = s.of("usable_share").value
    return float("inf") if value is None else value


def _below(one: Estimate, other: Estimate) -> bool:
    high = one.value if one.high is None else one.high
    low = other.value if other.low is None else other.low
    return high is not None and low is not None and high < low
