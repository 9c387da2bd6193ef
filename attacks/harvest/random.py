"""Natural prompts, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Harvest, HarvestContext, Pool
from attacks.budget import Budget
from attacks.client import Client, Harvested
from attacks.harvest.selection import draw, quotas
from configs.errors import require


@dataclass(frozen=True)
class Random(Harvest):
    """Natural prompts at random in the attacker's mix, without replacement within a family.

    With ``repeats`` above 1 every prompt is asked that often, all of them once before any a second time, so a harvest
    that is stopped early has covered the prompts. Where the API lets clients set the seed, the repeats of a prompt share
    one: their answers are then the same text and differ only in what the provider adds (noise on logprobs). Where it
    does not, repeats are ordinary independent samples.

    The budget that arXiv 2606.25059 gives its attackers, Q = 1 to 4 times as many queries as there are prompts D, is
    ``repeats`` = Q/D with ``budget.data`` = D and ``budget.queries`` = Q, and time for it: ``attack=resample
    budget.data=2128 budget.queries=8512 budget.hours=96`` is Q = 4 x D. With ``budget.queries`` left as it is the queries
    stay the same and the prompts become fewer.

    Args:
        repeats: how often each prompt is asked; the budget then covers 1/repeats as many prompts.
    """

    name: ClassVar[str] = "random"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Orekondy et al. 2019 (Knockoff Nets), arXiv 1812.02766, random strategy"

    repeats: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.repeats >= 1, "repeats", self.repeats, "must be at least 1")

    def prompts_needed(self, queries: int) -> int:
        """See `Harvest.prompts_needed`: each prompt serves ``repeats`` queries."""
        return -(-queries // self.repeats)

    def draws_of_one(self, budget: Budget) -> int:
        """See `Harvest.draws_of_one`."""
        return self.repeats

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError` where a family of the pool has too few prompts for the budget."""
        total = client.remaining
        items = draw(pool, quotas(pool, self.prompts_needed(total)), context.rng)
        asked = np.tile(items, self.repeats)[:total]
        if self.repeats == 1 or not client.interface.seed:
            return client.ask(asked)
        seeds = context.rng.integers(2**62, size=len(items), dtype=np.int64)
        return client.ask(asked, seeds=np.tile(seeds, self.repeats)[:total], seeded=True)
