"""What a campaign's tables show, in sentences that claim no more than was measured."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.campaign.measure.detection import ANY
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.measure.roc import RATES
from experiments.campaign.report.naming import (
    UNDEFENDED,
    amount,
    amount_with_interval,
    detector_name,
    dollars,
    per,
    percent,
    percent_with_interval,
    policy_name,
    reference,
    spaced,
)
from experiments.report.spelling import enumeration

MANY = 1e7
"""Accounts that false alarms are carried over to: about as many as a large provider has (traffic facts, "Base
rates")."""


def sentences(summaries: Sequence[PolicySummary], note: str) -> list[str]:
    """A sentence on each policy, then base rates, detectors, groups, what transfer rests on, and what the seeds allow.

    Args:
        summaries: of one preset.
        note: how exchanges stand for queries of the laboratory.
    """
    base = reference(summaries)
    parts = [outcome(s, base if base is not s else None) for s in summaries]
    parts += [text(s) for s in summaries for text in (base_rates, best_detector, merged)]
    if any(s.transfer for s in summaries):
        parts.append(note.strip())
    return [part for part in [*parts, seeds_caveat(summaries)] if part]


def outcome(s: PolicySummary, base: PolicySummary | None) -> str:
    """How the campaign ends under one policy, set beside the undefended run where there is one."""
    banned, lost = amount(_value(s, "honest_banned")), amount(_value(s, "honest_lost"))
    if not _value(s, "attack_accounts"):
        honest = amount(_value(s, "honest_accounts"))
        return (
            f"{_under(s)} nobody attacks: of {honest} honest accounts {banned} are banned, {lost} lost to verification."
        )
    usable, share = s.of("usable"), s.of("usable_share")
    reached = f" ({percent_with_interval(share)})" if share.value is not None else ""
    clauses = [
        f"the campaign ends at {amount_with_interval(usable)} of {amount(_value(s, 'planned'))} exchanges{reached}"
    ]
    if s.transfer:
        moved = [
            f"{percent_with_interval(r.transfer)} of {spaced(r.capability)}"
            + (" (extrapolated)" if r.extrapolated else "")
            for r in s.transfer
            if r.transfer.value is not None
        ]
        unknown = [spaced(r.capability) for r in s.transfer if r.transfer.value is None]
        clauses += [f"{enumeration(moved)} transferred"] if moved else []
        clauses += [f"transfer of {enumeration(unknown)} unknown"] if unknown else []
    clauses.append(f"{banned} honest accounts banned and {lost} lost to verification")
    return f"{_under(s)} {', '.join(clauses)}{_cost(s)}{_beside(s, base)}."


def base_rates(s: PolicySummary) -> str:
    """What the measured rates would mean for as many accounts as a large provider has."""
    banned, lost = s.of("honest_banned_share"), s.of("honest_lost_share")
    if not (banned.value or lost.value):
        return ""
    where = "of the undefended run" if s.policy in UNDEFENDED else f"under {policy_name(s.policy)}"
    return (
        f"At the rates {where}, 10 million honest accounts would see {amount_with_interval(per(banned, MANY, 2))} banned "
        f"and {amount_with_interval(per(lost, MANY, 2))} lost to verification."
    )


def best_detector(s: PolicySummary) -> str:
    """The detector that catches most accounts at the least false-alarm rate that the honest accounts allow."""
    names = [name for name in s.names("detector") if name != ANY]
    for rate in reversed(RATES):
        known = [
            (e.value, name, e) for name in names if (e := s.of(f"tpr_{rate:.0e}", "detector", name)).value is not None
        ]
        if known:
            _, name, caught = max(known, key=lambda k: (k[0], k[1]))
            break
    else:
        return ""
    among = "" if len(names) == 1 else f", the most of {len(names)} detectors"
    text = (
        f"{_under(s, True)} {detector_name(name)} catches {percent_with_interval(caught)} of attack accounts at a "
        f"false-alarm rate of {percent(rate)}{among}"
    )
    hard, all_honest = s.of("false_alarms_hard", "detector", ANY), s.of("false_alarms", "detector", ANY)
    if hard.value is not None and all_honest.value is not None:
        text += (
            f"; alarms at the thresholds in force fall on {percent_with_interval(all_honest)} of honest accounts and on "
            f"{percent_with_interval(hard)} of those whose use looks like an attacker's"
        )
    return text + "."


def merged(s: PolicySummary) -> str:
    """Groups that put accounts of several operations together, where there are several."""
    count, groups = s.of("merged").value, s.of("clusters").value
    if len(s.names("operation")) < 2 or not groups or count is None:
        return ""
    return f"{_under(s, True)} {amount(count)} of {amount(groups)} groups found hold accounts of several operations."


def seeds_caveat(summaries: Sequence[PolicySummary]) -> str:
    """What the number of seeds allows to say."""
    counts = {len(s.seeds) for s in summaries}
    if counts == {1}:
        return (
            "Each policy was run with one seed: the intervals speak of accounts within this campaign, nothing here says how "
            "much campaigns differ, and differences between policies are not tested."
        )
    fewest, most = min(counts), max(counts)
    number = str(fewest) if fewest == most else f"{fewest} to {most}"
    only = " Where there is one seed, brackets are intervals over accounts instead." if fewest == 1 else ""
    return (
        f"Numbers are means over {number} seeds of a policy and brackets the range from the lowest to the highest, "
        f"which is no confidence interval.{only}"
    )


def _cost(s: PolicySummary) -> str:
    cost = s.of("dollars_per_usable").value
    return "; a usable exchange costs " + dollars(cost) if cost is not None else "; nothing usable was harvested"


def _beside(s: PolicySummary, base: PolicySummary | None) -> str:
    """The undefended run's harvest and price."""
    if base is None or not _value(base, "usable"):
        return ""
    cost = base.of("dollars_per_usable").value
    text = f"; undefended it ends at {amount(_value(base, 'usable'))}"
    share = _value(s, "usable") / _value(base, "usable")
    text += f", of which this is {percent(share)}"
    return text + (f", at {dollars(cost)} each" if cost is not None else "")


def _value(s: PolicySummary, measure: str) -> float:
    return s.of(measure).value or 0.0


def _under(s: PolicySummary, comma: bool = False) -> str:
    """The opening of a sentence; with a comma where a name follows."""
    if s.policy in UNDEFENDED:
        return "Undefended,"
    return f"Under {policy_name(s.policy)}" + ("," if comma else "")
