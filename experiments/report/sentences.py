"""What the tables show, in words that claim no more than the intervals support."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.estimate import Estimate
from experiments.measure.matched import TARGETS
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.measure.verdict import read
from experiments.report.grouping import setting_text
from experiments.report.main_table import loss_verdicts
from experiments.report.matched_table import Comparison
from experiments.report.names import (
    HIDDEN_TRACE,
    LIMITS,
    family_name,
    family_order,
    is_passive,
    seeds_caveat,
)
from experiments.report.spelling import enumeration, interval, share


def sentences(summaries: Sequence[Summary], found: Sequence[Comparison]) -> list[str]:
    """Hidden traces, matched drop, volume limits, then what the number of seeds allows; each only where it was measured."""
    if not summaries:
        return ["Nothing was measured."]
    parts = [hidden_trace(summaries), matched(found), limits(summaries), seeds_caveat(summaries)]
    return [part for part in parts if part] or ["No comparison of the report's claims is possible with these cells."]


def hidden_trace(summaries: Sequence[Summary]) -> str:
    """Claim C1 under the first attack that was run on hidden traces, a passive one if there is one."""
    hidden = [s for s in summaries if s.names == (HIDDEN_TRACE,)]
    if not hidden:
        return ""
    chosen = min(hidden, key=lambda s: not is_passive(s))
    judged = loss_verdicts(summaries)
    place = next(i for i, s in enumerate(summaries) if s is chosen)
    where = f" ({setting_text(chosen, hidden)})" if len(hidden) > 1 else ""
    groups: dict[str, list[str]] = {}
    for family in (f for f in family_order(chosen.families) if f != POOLED):
        before = chosen.headline_estimate("transfer_undefended", family).value
        after = chosen.headline_estimate("transfer", family).value
        if before is None or after is None:
            continue
        lost, _, reading = judged[place, family]
        limits_text = interval(lost, "share")
        name = family_name(family)
        detail = {
            "lost": f"{name} transfer from {share(before)} to {share(after)} "
            f"(loss {share(lost.value or 0.0)} {limits_text})",
            "gained": f"{name} from {share(before)} to {share(after)}",
            "unchanged": f"{name} at {share(after)} (from {share(before)})",
            "undecided": f"{name} ({share(before)} to {share(after)}"
            + (f", loss {share(lost.value or 0.0)} {limits_text})" if limits_text else ", without an interval)"),
        }
        groups.setdefault(reading, []).append(detail[reading])
    verbs = {"lost": "takes", "unchanged": "leaves", "gained": "raises", "undecided": "does not settle"}
    clauses = [
        f"{verbs[r]} {enumeration(groups[r])}" for r in ("lost", "unchanged", "gained", "undecided") if r in groups
    ]
    return f"Hiding the trace{where} {'; it '.join(clauses)}." if clauses else ""


def matched(found: Sequence[Comparison]) -> str:
    """Claim C2 where most defenses can be compared: passive attacks before adaptive ones, families in their order, pooled
    last; the largest drop up to the greatest of the fixed ones."""
    complete = [
        c
        for c in found
        if _known(c.accuracy.get(c.reference)) and any(_known(v.estimate) for v in c.difference.values())
    ]
    if not complete:
        return ""
    order = {family: -i for i, family in enumerate(family_order(sorted({c.family for c in complete})))}
    usual = [c for c in complete if c.drop <= max(TARGETS)] or complete
    best = max(
        usual,
        key=lambda c: (
            sum(_known(v.estimate) for v in c.difference.values()),
            c.passive,
            c.family != POOLED,
            order[c.family],
            c.drop,
        ),
    )
    own = best.accuracy[best.reference]
    against: dict[str, list[str]] = {"lower": [], "higher": [], "unresolved": []}
    for name, (gap, _, reading) in sorted(best.difference.items()):
        other = best.accuracy[name]
        if gap.value is None or other.value is None:
            continue
        limits_text = interval(gap, "share")
        detail = (
            f"{share(other.value)} for {name} (difference {share(gap.value)} {limits_text or 'without an interval'})"
        )
        against[{"lost": "higher", "gained": "lower"}.get(reading, "unresolved")].append(detail)
    clauses = []
    if against["lower"]:
        clauses.append(f"below {enumeration(against['lower'])}")
    if against["higher"]:
        clauses.append(f"above {enumeration(against['higher'])}")
    if against["unresolved"]:
        clauses.append(f"not told apart from {enumeration(against['unresolved'])}")
    drop = f"{100 * best.drop:.1f}".removesuffix(".0")
    where = "" if best.family == POOLED else f" in {family_name(best.family)}"
    where += f" ({best.setting})" if len({c.setting for c in found}) > 1 else ""
    return (
        f"At a {drop}-point drop of honest accuracy{where}, {best.reference} leaves the student at "
        f"{share(own.value or 0.0)}, {'; '.join(clauses)}."
    )


def limits(summaries: Sequence[Summary]) -> str:
    """How far a volume limit cut the attacker's queries, and what moved all the same: the tightest limit."""
    cut = [
        (s.facts["accepted"] / s.facts["asked"], s)
        for s in summaries
        if len(s.names) == 1 and s.names[0] in LIMITS and s.facts["asked"] and s.facts["accepted"] is not None
    ]
    cut = [(kept, s) for kept, s in cut if kept < 0.995]
    if not cut:
        return ""
    kept, s = min(cut, key=lambda pair: pair[0])
    before, after = s.headline_estimate("transfer_undefended", POOLED), s.headline_estimate("transfer", POOLED)
    lost = s.headline_estimate("transfer_lost", POOLED)
    reading = read(lost)
    text = f"{s.defense} lets {kept:.0%} of the attacker's queries through ({s.attack})"
    if before.value is None or after.value is None or lost.value is None:
        return text + "."
    change = f"pooled transfer {share(before.value)} to {share(after.value)}"
    verdict = {"lost": "and lowers", "gained": "and raises", "unchanged": "but leaves unchanged"}.get(reading)
    if verdict is None:
        limits_text = interval(lost, "share")
        return f"{text}; its effect on transfer is not resolved ({change}, loss {share(lost.value)} {limits_text})."
    return f"{text} {verdict} {change.replace('transfer ', 'transfer, ', 1)}."


def _known(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.value is not None
