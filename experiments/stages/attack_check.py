"""Refuses attacks that an API, a student or a budget does not allow, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from attacks.base import Harvest, Refine
from attacks.budget import Budget
from configs.errors import ConfigError
from experiments.stages.budget_check import check_budget
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
