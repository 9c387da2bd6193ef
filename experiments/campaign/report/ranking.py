"""One ranking of policies: what the attacker got, what it paid, what honest users lost; and which policy that speaks for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.naming import (
    UNDEFENDED,
    amount_with_interval,
    dollars,
    in_percent,
    per,
    percent,
    percent_with_interval,
    policy_name,
)
from experiments.campaign.report.tables import POLICY, brackets
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
        POLICY,
        Column("usable_share", "% of plan harvested", "number"),
        Column("apart", "from the first", "text"),
        Column("dollars_per_usable", "$ per usable", "dollars"),
        Column("gone", "honest lost or banned, of 100,000", "count"),
        Column("seeds", "seeds", "count"),
    )
    ranked = sorted(summaries, key=_harvest)
    rows: tuple[dict[str, Value], ...] = tuple(
        {
            "policy": policy_name(s.policy),
            "usable_share": in_percent(harvest_of(s)),
            "apart": _apart(ranked[0], s),
            "dollars_per_usable": s.of("dollars_per_usable"),
            "gone": per(s.of("honest_gone_share"), 1e5, 3),
            "seeds": len(s.seeds),
        }
        for s in ranked
    )
    notes = (
        "The least harvest first. From the first: whether a policy's range over seeds lies apart from that of the first.",
        *rests_on(summaries),
        brackets(summaries),
    )
    return Table("ranking", "Policies by harvest, price and harm", columns, rows, notes), recommendation(summaries)


def rests_on(summaries: Sequence[PolicySummary]) -> tuple[str, ...]:
    """What a recommendation stands on, and what it leaves out: sentences."""
    known = [s for s in sorted(summaries, key=_harvest) if harvest_of(s).value is not None]
    if not recommendation(summaries):
        return ()
    best, seeds, needed = known[0], min(len(s.seeds) for s in known), seeds_needed(len(known))
    chance = min(1.0, len(known) ** (1.0 - seeds))
    price = best.of("dollars_per_usable").value
    harm = amount_with_interval(per(best.of("honest_gone_share"), 1e5, 3))
    return (
        f"A recommendation takes {needed} seeds of each of {len(known)} policies, in all of which the same policy lets "
        f"the least through, with a range that lies apart from all others': where all do the same, one is ahead in each of "
        f"{seeds} seed{'' if seeds == 1 else 's'} in {percent(chance)} of comparisons.",
        f"{policy_name(best.policy)} lets {percent_with_interval(harvest_of(best))} of the plan through, "
        f"{enumeration([f'{policy_name(s.policy)} {percent_with_interval(harvest_of(s))}' for s in known[1:]])}. Under "
        f"{policy_name(best.policy)} "
        + ("nothing usable was harvested" if price is None else f"a usable exchange costs {dollars(price)}")
        + f", and {harm} of 100,000 honest accounts are banned or lost.",
        "Policies are ranked by harvest alone: what honest accounts are worth, and what reviewers cost, is for the reader "
        "to weigh. All accounts are simulated, and detectors are fitted on the like of what they then see.",
    )


def recommendation(summaries: Sequence[PolicySummary]) -> str:
    """Which policy harvests least, if it does so in each of `seeds_needed` and its range lies apart from all others' (ranges
    alone lie apart by luck in few seeds); otherwise what is undecided and why."""
    known = [s for s in sorted(summaries, key=_harvest) if harvest_of(s).value is not None]
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
    close = [s for s in rest if not _below(harvest_of(best), harvest_of(s))]
    if close:
        others = enumeration([policy_name(s.policy) for s in close])
        return f"Undecided in {seeds} seeds between {name} and {others}: their harvests overlap. More seeds may tell."
    milder = [s for s in rest if _below(s.of("honest_gone_share"), best.of("honest_gone_share"))]
    cost = f"; {enumeration([policy_name(s.policy) for s in milder])} cost honest users less" if milder else ""
    return f"{name} lets the least through in each of {seeds} seeds, apart from all others{cost}."


def harvest_of(s: PolicySummary) -> Estimate:
    """Share of the plan that was harvested."""
    return s.of("usable_share")


def _harvest(s: PolicySummary) -> float:
    value = harvest_of(s).value
    return float("inf") if value is None else value


def _apart(first: PolicySummary, s: PolicySummary) -> str | None:
    """Whether two policies' ranges over seeds lie apart; None of the first itself, and where there is no range."""
    if s is first or min(len(first.seeds), len(s.seeds)) == 1:
        return None
    return "apart" if _below(harvest_of(first), harvest_of(s)) else "overlaps"


def _below(one: Estimate, other: Estimate) -> bool:
    high = one.value if one.high is None else one.high
    low = other.value if other.low is None else other.low
    return high is not None and low is not None and high < low
