"""Reinforcement learning after distillation gives back what was taught wrongly, not what was never shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from experiments.claims.base import Claim, require_some
from experiments.measure.estimate import Estimate, estimates
from experiments.measure.quantity import Quantity, difference, linear
from experiments.measure.summary import Summary
from experiments.measure.verdict import HolmVerdict, Reading, verdicts
from experiments.report.finding import UNMEASURED, Finding, Ground, says
from experiments.report.floor import floor_note
from experiments.report.names import family_name, seeds_caveat
from experiments.report.spelling import Value, enumeration, with_interval
from experiments.report.structure import Column, Table


class _Part(NamedTuple):
    """One thing that the claim says, of one cell and family.

    Args:
        kind: ``opened``: there is a gap; ``most``: less than half of it is left; ``none``: nothing of it is closed;
            ``alone``: what the teacher adds to reinforcement learning.
        defense: label of the cell's.
        family: of the items.
        quantity: positive where there is a gap, less than half is left, something is closed, the teacher adds something.
    """

    kind: str
    defense: str
    family: str
    quantity: Quantity


SUPPORTS: dict[str, list[Reading]] = {
    "opened": ["lost"],
    "most": ["lost"],
    "none": ["unchanged", "gained"],
    "alone": ["lost"],
}
CONTRADICTS: dict[str, list[Reading]] = {
    "opened": [],
    "most": ["gained"],
    "none": ["lost"],
    "alone": ["unchanged", "gained"],
}
"""Readings of a part's quantity; a gap that was never opened leaves open whether it can be closed."""
MEANT = {
    "most": "half of the gap less what is left",
    "none": "closed",
    "alone": "the teacher adds",
}
WORDS = {
    "opened": "gap that {} opened in {}",
    "most": "half of that gap less what is left of it ({}, {})",
    "none": "what is closed of that gap ({}, {})",
    "alone": "what the teacher adds to reinforcement learning alone ({}, {})",
}


@dataclass(frozen=True)
class RLCloses(Claim):
    """Judged by pass@1 at temperature 1. A defense's gap is the undefended student's less the defended one's, before and
    after both are refined. What the teacher adds is the accuracy of the undefended refined student less that of the same
    effort with the base model in the teacher's place. Of ``stays`` the strongest is judged: where half of the traces are
    shown, these teach. All parts are corrected together (Holm).

    Args:
        refine: name of the refine part.
        closes: defense most of whose gap is closed.
        stays: defense none of whose gap is closed.
        families: in which.
    """

    name: ClassVar[str] = "rl_closes"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C11"
    source: ClassVar[str] = "Javaheri et al. 2026, arXiv 2609.35699"
    statement: ClassVar[str] = (
        "Reinforcement learning after distillation closes most of the gap that antidistillation opened and none of what a "
        "hidden trace took; alone it does not replace the teacher."
    )

    refine: str
    closes: str
    stays: str
    families: tuple[str, ...]

    def __post_init__(self) -> None:
        require_some(self, "families")

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        own = [s for s in summaries if s.configuration.get("refine") == self.refine]
        parts = [part for family in self.families for part in self._parts(own, family)]
        if not any(part.quantity.known for part in parts):
            return None
        found = list(zip(parts, verdicts(_estimated(parts)), strict=True))
        measured = {part.kind for part in parts}
        evidence = [_ground(part, verdict) for part, verdict in found]
        for kind, of in (("most", self.closes), ("none", self.stays)):
            if kind not in measured:
                evidence.append(Ground(WORDS[kind].format(of, "any family"), UNMEASURED, "open"))
        return Finding(_sentence(found), tuple(evidence), _table(own, self.families))

    def _parts(self, own: Sequence[Summary], family: str) -> list[_Part]:
        parts = []
        hidden = max((s.configuration.get("strength") or 0.0 for s in own if s.names == (self.stays,)), default=0.0)
        for s in own:
            for kind, name in (("most", self.closes), ("none", self.stays)):
                if s.names == (name,) and (kind == "most" or (s.configuration.get("strength") or 0.0) == hidden):
                    before, after = _gaps(s, family)
                    left = linear([(0.5, before), (-1.0, after)]) if kind == "most" else difference(before, after)
                    parts += [_Part("opened", s.defense, family, before), _Part(kind, s.defense, family, left)]
        alone = next((s for s in sorted(own, key=lambda s: len(s.names))), None)
        if alone is not None:
            adds = difference(alone.headline("S_undef", family), alone.headline("S_self", family))
            parts.append(_Part("alone", alone.attack, family, adds))
        return parts


def _gaps(s: Summary, family: str) -> tuple[Quantity, Quantity]:
    """What the defense took of pass@1, before and after refining."""
    before = difference(
        s.quantity("S_undef_distilled_pass_at_1", family), s.quantity("S_def_distilled_pass_at_1", family)
    )
    return before, difference(s.quantity("S_undef_pass_at_1", family), s.quantity("S_def_pass_at_1", family))


def _estimated(parts: Sequence[_Part]) -> list[Estimate]:
    """Each part among those of its kind, which vary alike."""
    found: dict[int, Estimate] = {}
    for kind in dict.fromkeys(part.kind for part in parts):
        places = [i for i, part in enumerate(parts) if part.kind == kind]
        found |= dict(zip(places, estimates([parts[i].quantity for i in places]), strict=True))
    return [found[i] for i in range(len(parts))]


def _ground(part: _Part, verdict: HolmVerdict) -> Ground:
    said = says(verdict.reading, SUPPORTS[part.kind], CONTRADICTS[part.kind])
    return Ground(WORDS[part.kind].format(part.defense, family_name(part.family)), verdict, said)


def _sentence(found: Sequence[tuple[_Part, HolmVerdict]]) -> str:
    """What was measured of each part, with its corrected interval."""
    verbs: dict[tuple[str, Reading], str] = {
        ("most", "lost"): "closes more than half of the gap that {0} opened in {1}",
        ("most", "gained"): "closes less than half of the gap that {0} opened in {1}",
        ("most", "unchanged"): "closes about half of the gap that {0} opened in {1}",
        ("most", "undecided"): "is not shown to close half of the gap that {0} opened in {1}",
        ("none", "lost"): "closes part of what {0} took in {1}",
        ("none", "gained"): "widens what {0} took in {1}",
        ("none", "unchanged"): "closes nothing of what {0} took in {1}",
        ("none", "undecided"): "does not settle what {0} took in {1}",
        ("alone", "lost"): "leaves the student without a teacher lower in {1}",
        ("alone", "gained"): "leaves the student without a teacher higher in {1}",
        ("alone", "unchanged"): "replaces the teacher in {1}",
        ("alone", "undecided"): "does not settle whether it replaces the teacher in {1}",
    }
    clauses = [
        f"{verbs[part.kind, v.reading].format(part.defense, family_name(part.family))} "
        f"({MEANT[part.kind]} {with_interval(v.estimate, 'share')})"
        for part, v in found
        if part.kind != "opened" and v.estimate.value is not None
    ]
    return f"Reinforcement learning {enumeration(clauses)}." if clauses else ""


def _table(own: Sequence[Summary], families: Sequence[str]) -> Table:
    """Each student before and after, and what is missing of the undefended one."""
    rows: list[dict[str, Value]] = []
    cells = [(s, family) for family in families for s in own if s.names]
    before, after = (estimates([_gaps(*cell)[when] for cell in cells]) for when in (0, 1))
    for (s, family), was, left in zip(cells, before, after, strict=True):
        rows.append(
            {
                "defense": s.defense,
                "attack": s.attack,
                "family": family_name(family),
                "distilled": s.estimate("S_def_distilled_pass_at_1", family),
                "refined": s.estimate("S_def_pass_at_1", family),
                "before": was,
                "after": left,
                "alone": s.headline_estimate("S_self", family),
            }
        )
    columns = (
        Column("defense", "defense", "text", 0),
        Column("attack", "attack", "text", 0),
        Column("family", "family", "text", 0),
        Column("distilled", "distilled"),
        Column("refined", "refined"),
        Column("before", "gap before"),
        Column("after", "gap after"),
        Column("alone", "without teacher"),
    )
    note = (
        "Pass@1 at temperature 1. Gap: the same attack's undefended student less this one. Without teacher: greedy accuracy "
        "of the same effort, refining included, with the base model in the teacher's place."
    )
    gaps = {
        f: [e for (_, family), *both in zip(cells, before, after, strict=True) if family == f for e in both]
        for f in families
    }
    notes = (note, floor_note("gap", gaps), seeds_caveat(own))
    return Table("rl_closes", "What refining closes (claim C11)", columns, tuple(rows), tuple(filter(None, notes)))
