"""Hiding the trace: much of a task that needs steps is lost, about none of one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from configs.errors import require
from experiments.claims.base import Claim, require_some
from experiments.measure.losses import loss_verdicts
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.measure.verdict import HolmVerdict
from experiments.report.finding import UNMEASURED, Finding, Ground, Says, says
from experiments.report.floor import floor_note
from experiments.report.grouping import setting_text
from experiments.report.names import family_name, family_order, is_passive, seeds_caveat
from experiments.report.spelling import Value, enumeration, interval, share
from experiments.report.structure import Column, Table

Chosen = tuple[int, Summary]
"""A cell that hides the trace and does nothing else, with its place in the report."""


@dataclass(frozen=True)
class HiddenTrace(Claim):
    """Judged under the first attack that was run on hidden traces and that learns ``steps`` where nothing is hidden (one
    that never looks at a trace has nothing to lose), a passive one if there is one, where most is hidden.

    A loss in ``steps`` supports the claim where its corrected interval lies above ``large``, and contradicts it where it
    lies below; one in ``direct`` supports it within ± `experiments.measure.verdict.MARGIN`, and contradicts it where it is
    above 0.

    Args:
        defense: that hides the trace.
        steps: families whose answer needs steps.
        direct: families whose answer needs none.
        large: transfer that counts as a large loss.
    """

    name: ClassVar[str] = "hidden_trace"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C1"
    source: ClassVar[str] = "DistillGuard, arXiv 2603.07835: MATH 67.8 to 31.4, code 72.4 to 72.0"
    statement: ClassVar[str] = (
        "Hiding the trace takes much of the transfer of a task that needs steps and about none of one that does not."
    )

    defense: str
    steps: tuple[str, ...]
    direct: tuple[str, ...]
    large: float = 0.2

    def __post_init__(self) -> None:
        require_some(self, "steps", "direct")
        require(0 < self.large < 1, "large", self.large, "must lie between 0 and 1")

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        hidden = [(i, s) for i, s in enumerate(summaries) if s.names == (self.defense,)]
        if not hidden:
            return None
        judged = loss_verdicts(summaries)
        chosen = min(hidden, key=lambda one: (not self._has(one[1]), not is_passive(one[1]), -_strength(one[1])))
        return Finding(_sentence(chosen, hidden, judged), self._evidence(chosen, judged), _table(hidden, judged))

    def _has(self, summary: Summary) -> bool:
        """Whether the attack, undefended, moves so much of a task with steps that a large loss could show."""
        before = [summary.headline_estimate("transfer_undefended", family) for family in self.steps]
        return any(e.value is not None and (e.value if e.low is None else e.low) > self.large for e in before)

    def _evidence(self, chosen: Chosen, judged: dict[tuple[int, str], HolmVerdict]) -> tuple[Ground, ...]:
        found, (place, summary) = [], chosen
        for family in (*self.steps, *self.direct):
            verdict = judged.get((place, family), UNMEASURED)
            large = self._large(verdict) if self._has(summary) else "open"
            said = large if family in self.steps else says(verdict.reading, ["unchanged"], ["lost"])
            found.append(Ground(f"loss of {family_name(family)}", verdict, said))
        return tuple(found)

    def _large(self, verdict: HolmVerdict) -> Says:
        low, high = verdict.estimate.low, verdict.estimate.high
        if low is None or high is None or not verdict.estimate.about_seeds:
            return "open"
        return "supports" if low > self.large else "contradicts" if high < self.large else "open"


def _strength(summary: Summary) -> float:
    """How much is hidden."""
    return summary.configuration.get("strength") or 0.0


def _sentence(chosen: Chosen, hidden: Sequence[Chosen], judged: dict[tuple[int, str], HolmVerdict]) -> str:
    place, summary = chosen
    where = f" ({setting_text(summary, [s for _, s in hidden])})" if len(hidden) > 1 else ""
    groups: dict[str, list[str]] = {}
    for family in (f for f in family_order(summary.families) if f != POOLED):
        before = summary.headline_estimate("transfer_undefended", family).value
        after = summary.headline_estimate("transfer", family).value
        if before is None or after is None:
            continue
        lost, _, reading = judged[place, family]
        limits = interval(lost, "share")
        name = family_name(family)
        detail = {
            "lost": f"{name} transfer from {share(before)} to {share(after)} (loss {share(lost.value or 0.0)} {limits})",
            "gained": f"{name} from {share(before)} to {share(after)}",
            "unchanged": f"{name} at {share(after)} (from {share(before)})",
            "undecided": f"{name} ({share(before)} to {share(after)}"
            + (f", loss {share(lost.value or 0.0)} {limits})" if limits else ", without an interval)"),
        }
        groups.setdefault(reading, []).append(detail[reading])
    verbs = {"lost": "takes", "unchanged": "leaves", "gained": "raises", "undecided": "does not settle"}
    clauses = [
        f"{verbs[r]} {enumeration(groups[r])}" for r in ("lost", "unchanged", "gained", "undecided") if r in groups
    ]
    return f"Hiding the trace{where} {'; it '.join(clauses)}." if clauses else ""


def _table(hidden: Sequence[Chosen], judged: dict[tuple[int, str], HolmVerdict]) -> Table:
    """What hiding the trace takes, per family, against the same attack on the undefended API."""
    rows: list[dict[str, Value]] = []
    for i, s in hidden:
        for family in (f for f in family_order(s.families) if f != POOLED):
            verdict = judged[i, family]
            rows.append(
                {
                    "attack": setting_text(s, [other for _, other in hidden]),
                    "family": family_name(family),
                    "before": s.headline_estimate("transfer_undefended", family),
                    "after": s.headline_estimate("transfer", family),
                    "formed": s.estimate("S_def_formed_share", family, s.decoding).value,
                    "lost": verdict.estimate,
                    "p": verdict.p,
                    "reading": verdict.reading,
                }
            )
    columns = (
        Column("attack", "attack", "text", 0),
        Column("family", "family", "text", 0),
        Column("before", "trace shown"),
        Column("after", "trace hidden"),
        Column("formed", "well formed"),
        Column("lost", "transfer lost"),
        Column("p", "p (Holm)", "p"),
        Column("reading", "reading", "text"),
    )
    note = (
        f"p, the interval of the loss and its reading are corrected for the {len(judged)} losses of the report (Holm): "
        "lost, or gained, where the interval excludes 0, which is where p < .05; unchanged where it lies within ±.05; "
        "otherwise undecided."
    )
    families = family_order(sorted({family for _, s in hidden for family in s.families}))
    lost = {f: [judged[i, f].estimate for i, s in hidden if f in s.families] for f in families}
    notes = filter(None, (note, floor_note("loss", lost), seeds_caveat([s for _, s in hidden])))
    return Table("hidden_trace", "Hiding the trace (claim C1)", columns, tuple(rows), tuple(notes))
