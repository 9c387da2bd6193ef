"""What a provider has seen before it opens the API of a lab cell, for detectors to be fitted on: honest accounts asking its
own prompts, and a red team that harvests as the lab's attackers do.

Answers have the length of the tasks' references, in words: past answers are known, unlike those at admission in a cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attacks.budget import allocate
from defenses.base import Traffic
from experiments.prompts import draw, shares
from lm.ragged import Ragged
from tasks.base import Task
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.schema import Prompts, Requests

PROMPTS = 2_000
"""Most distinct prompts; they are asked again and again."""
DAYS = 7.0
PER_USER, FEWEST_USERS = 40, 200
"""Requests of an honest account on average (heavy-tailed, lognormal with σ 1), and how many accounts there are at least."""
PER_ATTACKER, FEWEST_ATTACKERS, PACE = 500, 40, 2.0
"""Requests of an account of the red team, how many accounts there are at least, and requests a minute of each."""


def benign_traffic(task: Task, count: int, max_tokens: int, seed: int) -> Traffic:
    """``count`` requests of honest accounts, as `experiments.stages.honest` has them come: at any time, on any prompt."""
    rng = np.random.default_rng(seed)
    users = max(count // PER_USER, FEWEST_USERS)
    weight = rng.lognormal(0.0, 1.0, users)
    account = rng.choice(users, count, p=weight / weight.sum())
    return _traffic(task, account, rng.uniform(0, DAYS * DAY, count), users, max_tokens, rng, genuine=True)


def red_team_traffic(task: Task, count: int, max_tokens: int, seed: int) -> Traffic:
    """``count`` requests of accounts that ask without a break, as `attacks.client.Client` does."""
    rng = np.random.default_rng(seed)
    attackers = max(count // PER_ATTACKER, FEWEST_ATTACKERS)
    account = np.arange(count) % attackers
    start = rng.uniform(0, (DAYS - 1) * DAY, attackers)
    time = start[account] + np.arange(count) // attackers * 60.0 / PACE
    return _traffic(task, account, time, attackers, max_tokens, rng, genuine=False)


def _traffic(
    task: Task,
    account: NDArray[np.int64],
    time: NDArray[np.float64],
    accounts: int,
    max_tokens: int,
    rng: np.random.Generator,
    genuine: bool,
) -> Traffic:
    items = draw(task, "provider", allocate(min(PROMPTS, len(time)), shares(task, {})), int(rng.integers(2**31)))
    texts = [item.prompt for item in items]
    order = np.lexsort((time, account))
    count = len(order)
    table = Accounts()
    table.open(accounts, genuine=genuine)
    asked = rng.integers(0, len(texts), count)
    lengths = np.array([min(max(len(item.reference.split()), 1), max_tokens) for item in items], np.int32)
    requests = Requests(
        time[order],
        account[order].astype(np.int32),
        asked,
        np.full(count, 16, np.int32),
        np.zeros(count, np.int64),
    )
    return Traffic(requests, Prompts(texts, Ragged.of([])), table, lengths[asked])
