"""Pass@k of students before and after their attackers refined them."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.pass_at_k import DRAWS, KS, ROLES
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.grouping import threat_text
from experiments.report.names import family_name, family_order
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

WHEN = {
    "distilled": ("", "distilled"),
    "student": ("", "refined"),
    "distilled_undefended": (", undefended", "distilled"),
    "undefended": (", undefended", "refined"),
}
"""By role, what it is."""
ALONE = {"base": "before any query", "self": "refined without the teacher"}
"""The same of the students that no defense has a part in."""


def pass_table(summaries: Sequence[Summary]) -> Table | None:
    """A row a defense, attack, family and time of measurement; None where no cell refines its student."""
    rows: list[dict[str, Value]] = []
    met: set[object] = set()
    for s in summaries:
        alone = {} if (s.threat, s.attack) in met else ALONE
        met.add((s.threat, s.attack))
        families = family_order(sorted({m.family for m in s.quantities if m.name == f"{ROLES['student']}_pass_at_1"}))
        for family in families:
            rows += [
                {
                    "defense": s.defense,
                    "attack": s.attack,
                    "threat": threat_text(s, summaries),
                    "family": family_name(family),
                    "when": when,
                    **{f"k{k}": s.estimate(f"{ROLES[role]}_pass_at_{k}", family) for k in KS},
                }
                for role, when in (
                    *((role, when + suffix) for role, (suffix, when) in WHEN.items() if s.names or not suffix),
                    *alone.items(),
                )
                if s.quantity(f"{ROLES[role]}_pass_at_1", family).known
            ]
    if not rows:
        return None
    several = len({str(row["threat"]) for row in rows}) > 1
    columns = (
        Column("defense", "defense", "text", 0),
        Column("attack", "attack", "text", 0),
        *([Column("threat", "threat model", "text", 0)] if several else []),
        Column("family", "family", "text", 0),
        Column("when", "student", "text", 0),
        *(Column(f"k{k}", f"pass@{k}") for k in KS),
    )
    note = (
        f"Pass@k: how often at least one of k responses at temperature 1 is right, from {DRAWS} samples an item (unbiased, "
        "Chen et al. 2021); pass@1 alone is from those that were sampled for the scores. Distilled: before the attacker "
        "refines his student; undefended: the same attack's, where there is a defense, without it. Without the teacher: the "
        f"same effort, and refining, from the base student and its own answers. {family_name(POOLED)}: mean over families."
    )
    return Table("pass_at_k", "Pass@k before and after refining", columns, tuple(rows), (note,))
