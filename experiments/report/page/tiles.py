"""The few numbers at the top of a page, each of which stands in a table below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from experiments.measure.guards import tripped
from experiments.measure.panel import ALL
from experiments.measure.pareto import worst_case
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.finding import Outcome
from experiments.report.grouping import by_defense, by_threat, threat_text
from experiments.report.spelling import enumeration, interval, spell
from experiments.report.worst_table import known_transfers

OUTCOMES: tuple[Outcome, ...] = ("holds", "partly", "fails", "undecided")
MANY: dict[Outcome, str] = {"holds": "hold", "fails": "fail"}


class Tile(NamedTuple):
    """One number: what it is, itself, its interval, and a remark."""

    what: str
    figure: str
    limits: str
    remark: str


def tiles(summaries: Sequence[Summary], verdicts: Sequence[Outcome]) -> list[Tile]:
    """Of the fullest threat model: what moves without a defense, what moves least with one; then claims and guards."""
    group = by_threat(summaries)[0]
    where = threat_text(group[0], summaries)
    found: list[Tile] = []
    worst = _worst(group)
    bare = next((s for s in worst.values() if not s.names), None)
    defended = [s for s in worst.values() if s.names]
    if bare is not None:
        found.append(_moved("Transfer without a defense", bare, where))
    if defended:
        least = min(defended, key=lambda s: s.headline_estimate("transfer", POOLED).value or 0.0)
        found.append(_moved("Least transfer under its worst attack", least, where, least.defense))
        right = least.estimate("T_def", ALL, "", "strict")
        found.append(
            Tile(
                "Honest accuracy with that defense",
                spell(right, "share"),
                interval(right, "share"),
                "refusals count as wrong",
            )
        )
    if verdicts:
        count = Counter(verdicts)
        told = ", ".join(f"{count[o]} {MANY.get(o, o) if count[o] > 1 else o}" for o in OUTCOMES if count[o])
        found.append(Tile("Claims of the literature judged", str(len(verdicts)), "", told))
    flagged = sum(bool(tripped(s)) for s in summaries)
    found.append(Tile("Configurations with a guard that tripped", str(flagged), "", f"of {len(summaries)}"))
    return found


MANY_DEFENSES = 6
"""More settings than that are not told one by one."""


def worst_in_words(summaries: Sequence[Summary]) -> str:
    """What is left of transfer under each defense against the attack that moves most, least first, and what it costs honest
    users; "" where there is no defense, or no transfer."""
    group = by_threat(summaries)[0]
    known = sorted(_worst(group).values(), key=lambda s: s.headline_estimate("transfer", POOLED).value or 0.0)
    defended, bare = [s for s in known if s.names], [s for s in known if not s.names]
    if not defended:
        return ""
    told = [f"{_short(s)} with {s.defense} ({_paid(s)})" for s in defended[:MANY_DEFENSES]]
    more = len(defended) - len(told)
    ends = f"; {more} more are in the table of worst cases" if more else ""
    without = f" from {_short(bare[0])} without a defense ({_paid(bare[0])})" if bare else ""
    where = threat_text(group[0], summaries)
    return (
        f"Against the attack that moves most, chosen by its result{f' ({where})' if where else ''}, transfer of all "
        f"families together goes{without} to {enumeration(told)}{ends}. In parentheses the attack, and "
        "the accuracy that honest users get; only defenses that leave them the same compare."
    )


def _worst(group: Sequence[Summary]) -> dict[str, Summary]:
    """By defense, its cell under the attack that moves most."""
    worst: dict[str, Summary] = {}
    for label, cells in by_defense(group).items():
        known = known_transfers(cells, POOLED)
        if known:
            attack = worst_case(known, ()).attack
            worst[label] = next(s for s in cells if s.attack == attack)
    return worst


def _short(s: Summary) -> str:
    moved = s.headline_estimate("transfer", POOLED)
    return f"{spell(moved, 'share')} {interval(moved, 'share')}".strip()


def _paid(s: Summary) -> str:
    right = s.estimate("T_def", ALL, "", "strict")
    return f"{s.attack}, honest {spell(right, 'share')}" if right.value is not None else s.attack


def _moved(what: str, s: Summary, where: str, name: str = "") -> Tile:
    moved = s.headline_estimate("transfer", POOLED)
    remark = ", ".join(filter(None, (name, f"{s.attack} attack", where)))
    return Tile(what, spell(moved, "share"), interval(moved, "share"), remark)
