"""What the tables show, in words that claim no more than the intervals support."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.estimate import Estimate
from experiments.measure.matched import TARGETS
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.finding import Finding
from experiments.report.matched_table import Comparison
from experiments.report.names import family_name, family_order, seeds_caveat
from experiments.report.spelling import enumeration, interval, share


def sentences(summaries: Sequence[Summary], found: Sequence[Comparison], findings: Sequence[Finding] = ()) -> list[str]:
    """Claims, matched drop, then what the number of seeds allows; each only where it was measured, and once."""
    if not summaries:
        return ["Nothing was measured."]
    parts = [*(finding.sentence for finding in findings), matched(found), seeds_caveat(summaries)]
    said = dict.fromkeys(part for part in parts if part)
    return list(said) or ["These cells allow no comparison of defenses, and no claim to be judged."]


def fullest(found: Sequence[Comparison]) -> Comparison | None:
    """Where the reference can be compared with most defenses: passive attacks before adaptive ones, families in their order,
    pooled last; the largest drop up to the greatest of the fixed ones. Whatever the differences are."""
    complete = [
        c
        for c in found
        if _known(c.accuracy.get(c.reference)) and any(_known(v.estimate) for v in c.of_reference.values())
    ]
    if not complete:
        return None
    order = {family: -i for i, family in enumerate(family_order(sorted({c.family for c in complete})))}
    usual = [c for c in complete if c.drop <= max(TARGETS)] or complete
    return max(
        usual,
        key=lambda c: (
            sum(_known(v.estimate) for v in c.of_reference.values()),
            c.passive,
            c.family != POOLED,
            order[c.family],
            c.drop,
        ),
    )


def matched(found: Sequence[Comparison]) -> str:
    """The reference against the others; "" where it is compared with none."""
    best = fullest(found)
    if best is None:
        return ""
    own = best.accuracy[best.reference]
    against: dict[str, list[str]] = {"lower": [], "higher": [], "unresolved": []}
    for name, (gap, _, reading) in sorted(best.of_reference.items()):
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


def _known(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.value is not None
