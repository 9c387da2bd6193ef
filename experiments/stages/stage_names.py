"""A name for every stage behind a row, in the words of the tables: roles of models, and whose a stage is."""

from __future__ import annotations

from experiments.stages.refine import RefineStage
from experiments.stages.row import RowStage
from experiments.store.stage import Stage

OF = {"student": "", "undefended": "_undefended", "self": "_self"}
"""Whose a stage is -> how its name ends: the attacker's; that of the same attack without defenses; that of the same effort
with the base model in the teacher's place."""


def named_stages(row: RowStage) -> dict[str, Stage]:
    """Every stage that the row is made from, and the row itself. Two names of the same work have the same key."""
    found: dict[str, Stage] = {}
    for role, scores in row.scores.items():
        found |= {role: scores.model, f"scores.{role}": scores}
    for of, suffix in OF.items():
        student = found[of]
        while isinstance(student, RefineStage):
            found[f"distilled{suffix}"] = student = student.student
        found[f"training_set{suffix}"] = student.inputs()["training_set"]
        found[f"harvest{suffix}"] = found[f"training_set{suffix}"].inputs()["harvest"]
    found |= {f"prepared.{name}": stage for name, stage in row.harvest.prepared.items()}
    for stage in (row.harvest, *row.evidence.values()):
        found |= {name: own for name, own in stage.inputs().items() if name == "proxy_student"}
    found |= {f"evidence.{role}": stage for role, stage in row.evidence.items()}
    found |= {f"passes.{role}": stage for role, stage in row.passes.items()}
    for judge, own in row.judgements.items():
        for role, stage in own.items():
            found |= {f"judgement.{judge}.{role}": stage, f"texts.{role}": stage.texts}
            found |= {"texts.clean": stage.clean} if stage.clean is not None else {}
    if row.costs is not None:
        found["costs"] = row.costs
    if row.tampering is not None:
        found["tampering"] = row.tampering
    if row.sold is not None:
        found["sold"] = row.sold
    return {**found, "honest": row.honest, "honest_clean": row.honest_clean, "row": row}
