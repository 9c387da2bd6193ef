"""What a provider has seen before it opens the API of a lab cell, for detectors to be fitted on: a day of honest accounts
asking its own prompts, and a red team that harvests as the lab's attackers do.

Answers of the red team have the length of the tasks' references, in words: past answers are known, unlike those at admission
in a cell.
"""

from __future__ import annotations

import math

import numpy as np

from attacks.budget import allocate
from defenses.base import Traffic
from experiments.campaign.config.population import Population
from experiments.stages.prompts import draw, shares
from experiments.stages.users import sent_by
from lm.ragged import Ragged
from tasks.base import Item, Task
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.prices import Prices
from teacher.api.schema import Prompts, Requests

PROMPTS = 2_000
"""Most distinct prompts; they are asked again and again."""
DAYS = 7.0
FEWEST_USERS = 200
"""Honest accounts there are at least."""
PER_ATTACKER, FEWEST_ATTACKERS, PACE = 500, 40, 2.0
"""Requests of an account of the red team, how many accounts there are at least, and requests a minute of each."""


def benign_traffic(task: Task, population: Population, count: int, seed: int) -> Traffic:
    """A day of honest accounts, so many of them that they send about ``count`` requests; less of a day where that would be
    fewer than `FEWEST_USERS`. Other accounts than those that are served later, drawn from the same population."""
    rng = np.random.default_rng(seed)
    items = _items(task, count, rng)
    accounts = max(math.ceil(count / population.requests_per_day), FEWEST_USERS)
    window = DAY * min(1.0, count / (accounts * population.requests_per_day))
    people, sent = sent_by(population, accounts, len(items), Prices(), int(rng.integers(2**63)), window)
    table = Accounts()
    people.register(table)
    seeds = np.zeros(len(sent.time), np.int64)
    asked = sent.prompt.astype(np.int64)
    requests = Requests(sent.time, sent.account, asked, sent.input_tokens, seeds, sent.network)
    return Traffic(requests, Prompts([item.prompt for item in items], Ragged.of([])), table, sent.output_tokens)


def red_team_traffic(task: Task, count: int, max_tokens: int, seed: int) -> Traffic:
    """``count`` requests of accounts that ask without a break, as `attacks.client.Client` does."""
    rng = np.random.default_rng(seed)
    attackers = max(count // PER_ATTACKER, FEWEST_ATTACKERS)
    account = np.arange(count) % attackers
    start = rng.uniform(0, (DAYS - 1) * DAY, attackers)
    time = start[account] + np.arange(count) // attackers * 60.0 / PACE
    items = _items(task, count, rng)
    order = np.lexsort((time, account))
    table = Accounts()
    table.open(attackers, genuine=False)
    asked = rng.integers(0, len(items), count)
    lengths = np.array([min(max(len(item.reference.split()), 1), max_tokens) for item in items], np.int32)
    requests = Requests(
        time[order], account[order].astype(np.int32), asked, np.full(count, 16, np.int32), np.zeros(count, np.int64)
    )
    return Traffic(requests, Prompts([item.prompt for item in items], Ragged.of([])), table, lengths[asked])


def _items(task: Task, count: int, rng: np.random.Generator) -> list[Item]:
    """The provider's own prompts."""
    return draw(task, "provider", allocate(min(PROMPTS, count), shares(task, {})), int(rng.integers(2**31)))
