"""Refuses attacks that an API, a student or a budget does not allow, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from attacks.base import Harvest, Recover, Refine
from attacks.budget import Budget
from attacks.knowledge import LEVELS, Knowledge
from configs.errors import ConfigError
from experiments.stages.budget_check import check_budget
from lm.model_spec import ModelSpec
from student.base import StudentSpec
from student.objectives.base import Objective
from tasks.base import Task
from teacher.api.interface import Interface


def check_attack(
    harvest: Harvest,
    objective: Objective,
    refine: Mapping[str, Refine],
    budget: Budget,
    student: StudentSpec,
    interface: Interface,
    task: Task,
) -> None:
    """Refuse an objective that learns from what is not sold, a student that cannot be refined, a budget that cannot be
    spent."""
    if objective.needs_top_logprobs and not interface.top_logprobs:
        reason = f"needs top_logprobs, which api {interface.name!r} does not sell (try api=logprobs)"
        raise ConfigError("attack.objective", objective.name, reason)
    if refine and not student.refinable:
        reason = f"cannot be done with a {type(student).__name__}: its weights cannot be stored after it"
        raise ConfigError("attack.refine", "+".join(refine), reason)
    check_budget(task, harvest, budget)


def check_knowledge(
    knowledge: Knowledge, recover: Mapping[str, Recover], objective: Objective, teacher: ModelSpec
) -> None:
    """Refuse steps and objectives that need more than the attacker knows, and a reasoner of his that is the victim."""
    field, known = "attack.knowledge.level", knowledge.level
    for name, step in recover.items():
        if step.rehearses and not knowledge.reaches(step.rehearses):
            reason = f"is less than recover step {name!r} needs, which is {step.rehearses!r}"
            raise ConfigError(field, known, reason, LEVELS[LEVELS.index(step.rehearses) :])
    if objective.needs_top_logprobs and not knowledge.reaches("interface"):
        raise ConfigError(
            field, known, f"asks for plain text, and objective {objective.name!r} needs logprobs", LEVELS[1:]
        )
    own = knowledge.shadow
    if own is not None and own.origin == teacher.origin != "":
        reason = "is the teacher itself: what is tried out on the victim is no knowledge of the attacker's"
        raise ConfigError("attack.knowledge.shadow", own.label, reason)
