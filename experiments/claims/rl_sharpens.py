"""Distillation widens what a student can reach at all; reinforcement learning after it makes him reach it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from experiments.claims.base import Claim, require_some
from experiments.measure.estimate import Estimate, estimates
from experiments.measure.pass_at_k import KS, ROLES
from experiments.measure.quantity import Quantity, difference
from experiments.measure.summary import Summary
from experiments.measure.verdict import HolmVerdict, Reading, verdicts
from experiments.report.finding import Finding, Ground, says
from experiments.report.grouping import setting_text
from experiments.report.names import family_name, family_order, seeds_caveat
from experiments.report.spelling import Value, enumeration, with_interval
from experiments.report.structure import Column, Table

ONCE, MANY = min(KS), max(KS)
STUDENTS = {"base": "before any query", "distilled_undefended": "distilled", "undefended": "refined"}
"""Students in the order in which they come to be, by role (`experiments.measure.pass_at_k.ROLES`); none met a defense."""
WORDS = {
    "wider": f"pass@{MANY} of the distilled student less that of the base ({{}})",
    "sharper": f"pass@{ONCE} of the refined student less that of the distilled ({{}})",
}
VERBS: dict[tuple[str, Reading], str] = {
    ("wider", "lost"): f"distillation raises pass@{MANY} in {{}} by",
    ("wider", "gained"): f"distillation lowers pass@{MANY} in {{}}, by",
    ("wider", "unchanged"): f"distillation leaves pass@{MANY} in {{}} about as it was, with a rise of",
    ("wider", "undecided"): f"whether distillation raises pass@{MANY} in {{}} is not settled, with a rise of",
    ("sharper", "lost"): f"reinforcement learning after it raises pass@{ONCE} in {{}} by",
    ("sharper", "gained"): f"reinforcement learning after it lowers pass@{ONCE} in {{}}, by",
    (
        "sharper",
        "unchanged",
    ): f"reinforcement learning after it leaves pass@{ONCE} in {{}} about as it was, with a rise of",
    (
        "sharper",
        "undecided",
    ): f"whether reinforcement learning after it raises pass@{ONCE} in {{}} is not settled, with a rise of",
}


class _Rise(NamedTuple):
    """One rise that the claim says there is.

    Args:
        kind: ``wider``: of pass@`MANY` by distilling; ``sharper``: of pass@`ONCE` by refining.
        family: of the items.
        quantity: the rise.
    """

    kind: str
    family: str
    quantity: Quantity


@dataclass(frozen=True)
class RLSharpens(Claim):
    """Judged by pass@k at temperature 1 of undefended students, k the smallest and the largest that is measured. Each rise
    is one of the same items and seeds; all are corrected together (Holm). One that lies within ± `verdict.MARGIN` of none
    contradicts the claim, as a fall does.

    What refining does to pass@k at the large k, and distilling to pass@1, is in the table and not judged: the claim says
    nothing of it. The paper's students are Qwen2.5 and Llama-3.2; the base here has learnt public data of the same tasks
    alone, and k ends at `MANY`.

    Args:
        attack: name of the attack, which refines after distilling.
        families: in which.
    """

    name: ClassVar[str] = "rl_sharpens"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C13"
    source: ClassVar[str] = "Javaheri et al. 2026, arXiv 2609.35699"
    statement: ClassVar[str] = (
        "Distillation raises pass@k at large k, and reinforcement learning after it raises pass@1."
    )

    attack: str
    families: tuple[str, ...]

    def __post_init__(self) -> None:
        require_some(self, "families")

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """See `Claim.judge`."""
        own = [s for s in summaries if not s.names and s.configuration.get("attack") == self.attack]
        rises = [rise for s in own for family in self.families for rise in _rises(s, family)]
        if not any(rise.quantity.known for rise in rises):
            return None
        found = list(zip(rises, verdicts(_estimated(rises)), strict=True))
        evidence = tuple(
            Ground(
                WORDS[rise.kind].format(family_name(rise.family)),
                verdict,
                says(verdict.reading, ["lost"], ["gained", "unchanged"]),
            )
            for rise, verdict in found
        )
        return Finding(_sentence(found), evidence, _table(own, self.families))


def _pass(s: Summary, role: str, k: int, family: str) -> Quantity:
    return s.quantity(f"{ROLES[role]}_pass_at_{k}", family)


def _rises(s: Summary, family: str) -> list[_Rise]:
    base, distilled, refined = STUDENTS
    wider = difference(_pass(s, distilled, MANY, family), _pass(s, base, MANY, family))
    sharper = difference(_pass(s, refined, ONCE, family), _pass(s, distilled, ONCE, family))
    return [_Rise("wider", family, wider), _Rise("sharper", family, sharper)]


def _estimated(rises: Sequence[_Rise]) -> list[Estimate]:
    """Each rise among those of its kind, which vary alike."""
    found: dict[int, Estimate] = {}
    for kind in WORDS:
        places = [i for i, rise in enumerate(rises) if rise.kind == kind]
        found |= dict(zip(places, estimates([rises[i].quantity for i in places]), strict=True))
    return [found[i] for i in range(len(rises))]


def _sentence(found: Sequence[tuple[_Rise, HolmVerdict]]) -> str:
    """What was measured of each rise, with its corrected interval."""
    clauses = [
        f"{VERBS[rise.kind, v.reading].format(family_name(rise.family))} {with_interval(v.estimate, 'share')}"
        for rise, v in found
        if v.estimate.value is not None
    ]
    said = enumeration(clauses)
    return f"{said[0].upper()}{said[1:]}."


def _table(own: Sequence[Summary], families: Sequence[str]) -> Table:
    """Each student with what he has more than the one before him."""
    cells = [(s, family) for family in family_order(families) for s in own]
    columns: dict[str, list[Estimate]] = {}
    for k in (ONCE, MANY):
        for before, role in zip((None, *STUDENTS), STUDENTS, strict=False):
            columns[f"{role}{k}"] = estimates([_pass(s, role, k, family) for s, family in cells])
            if before is not None:
                more = [difference(_pass(s, role, k, f), _pass(s, before, k, f)) for s, f in cells]
                columns[f"more {role}{k}"] = estimates(more)
    rows: list[dict[str, Value]] = [
        {
            "attack": setting_text(s, own),
            "family": family_name(family),
            "student": title,
            **{f"pass{k}": columns[f"{role}{k}"][at] for k in (ONCE, MANY)},
            **{
                f"more{k}": columns[f"more {role}{k}"][at] if f"more {role}{k}" in columns else None
                for k in (ONCE, MANY)
            },
        }
        for at, (s, family) in enumerate(cells)
        for role, title in STUDENTS.items()
    ]
    head = (
        Column("attack", "attack", "text", 0),
        Column("family", "family", "text", 0),
        Column("student", "student", "text", 0),
        *(Column(f"pass{k}", f"pass@{k}") for k in (ONCE, MANY)),
        *(Column(f"more{k}", f"pass@{k} gained") for k in (ONCE, MANY)),
    )
    note = (
        f"Undefended students at temperature 1. Gained: more than the student in the line above has. Judged are pass@{MANY} "
        f"gained by the distilled student and pass@{ONCE} gained by the refined one."
    )
    notes = tuple(filter(None, (note, seeds_caveat(own))))
    return Table("rl_sharpens", "What distilling and refining raise (claim C13)", head, tuple(rows), notes)
