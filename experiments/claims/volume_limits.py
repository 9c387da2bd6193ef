"""A limit of volume lowers transfer where it refuses part of the attacker's queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from experiments.claims.base import Claim, require_some
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.measure.verdict import HolmVerdict, verdicts
from experiments.report.finding import Finding, Ground, says
from experiments.report.spelling import interval, share

CUT = 0.995
"""A limit that lets a smaller share of the queries through has cut them."""


@dataclass(frozen=True)
class VolumeLimits(Claim):
    """Judged by the tightest limit: the one that lets the smallest share of an attacker's queries through. Its loss of
    pooled transfer is corrected for all limits that cut queries.

    Args:
        defenses: that limit volume, each by itself.
    """

    name: ClassVar[str] = "volume_limits"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "providers' published limits; no paper claims it"
    statement: ClassVar[str] = "A limit that refuses part of an attacker's queries lowers what his student learns."

    defenses: tuple[str, ...]

    def __post_init__(self) -> None:
        require_some(self, "defenses")

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        cut = [(kept, s) for s in summaries if (kept := self._kept(s)) is not None and kept < CUT]
        if not cut:
            return None
        judged = verdicts([s.headline_estimate("transfer_lost", POOLED) for _, s in cut])
        (kept, s), verdict = min(zip(cut, judged, strict=True), key=lambda pair: pair[0][0])
        said = says(verdict.reading, ["lost"], ["gained", "unchanged"])
        return Finding(_sentence(kept, s, verdict), (Ground(f"pooled loss under {s.defense}", verdict, said),))

    def _kept(self, s: Summary) -> float | None:
        """Share of the attacker's queries that a limit by itself let through; None of anything else."""
        asked, accepted = s.facts["asked"], s.facts["accepted"]
        if len(s.names) != 1 or s.names[0] not in self.defenses or not asked or accepted is None:
            return None
        return accepted / asked


def _sentence(kept: float, s: Summary, judged: HolmVerdict) -> str:
    before, after = s.headline_estimate("transfer_undefended", POOLED), s.headline_estimate("transfer", POOLED)
    lost = judged.estimate
    text = f"{s.defense} lets {kept:.0%} of the attacker's queries through ({s.attack})"
    if before.value is None or after.value is None or lost.value is None:
        return text + "."
    change = f"pooled transfer {share(before.value)} to {share(after.value)}"
    verdict = {"lost": "and lowers", "gained": "and raises", "unchanged": "but leaves unchanged"}.get(judged.reading)
    if verdict is None:
        limits = interval(lost, "share")
        return f"{text}; its effect on transfer is not resolved ({change}, loss {share(lost.value)} {limits})."
    return f"{text} {verdict} {change.replace('transfer ', 'transfer, ', 1)}."
