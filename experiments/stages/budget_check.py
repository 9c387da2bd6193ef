"""Refuses budgets that cannot be spent, before anything runs."""

from __future__ import annotations

from attacks.base import Harvest
from attacks.budget import Budget, allocate
from configs.errors import require
from experiments.stages.prompts import shares
from tasks.base import Task


def check_budget(task: Task, harvest: Harvest, budget: Budget) -> None:
    """Refuse a budget that cannot be spent: too few prompts, too short a campaign, families that are too small."""
    needed = harvest.prompts_needed(budget.queries)
    reason = f"needs {needed} distinct prompts under this harvest, and budget.data is {budget.data}"
    require(needed <= budget.data, "budget.queries", budget.queries, reason)
    hours = budget.queries / (60 * budget.rate * budget.accounts)
    reason = (
        f"takes {hours:.3g} hours at budget.rate = {budget.rate:g} requests a minute from each of budget.accounts = "
        f"{budget.accounts}, and budget.hours is {budget.hours:g}"
    )
    require(hours <= budget.hours, "budget.queries", budget.queries, reason)
    for family, count in allocate(budget.data, shares(task, budget.mix)).items():
        size = task.size("train", family)
        reason = f"takes {count} prompts of family {family!r}, which has {size}"
        require(count <= size, "budget.data", budget.data, reason)
