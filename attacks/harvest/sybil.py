"""One attacker, many accounts: which of them are answered as others are, and the rest of the budget from those."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.budget import Budget
from attacks.client import Client, Harvested
from attacks.harvest.selection import draw, quotas
from configs.errors import require


@dataclass(frozen=True)
class Sybil(Harvest):
    """Adaptive: compares what its accounts are told, in rounds, and retires those that look defended.

    Nobody tells an attacker that an account of his is suspected: what he sees is a refusal, a visibly cut answer, or an
    answer that differs from those of the other accounts. At the start of each round the same prompts are asked from every
    account that is left, so that undefended answers are equal: with one seed a prompt where the API lets clients set it,
    for the most probable text where it does not (defenses that act on the draw alone then do not show). An account agrees
    on a prompt where its answer is whole and that of most whole answers (of most answers, where none is whole); where no
    answer is that of most, nobody can tell who is right. It is retired where it agrees on fewer than ``tolerance`` times as
    many prompts as the best account does, and its answers since the last comparison are dropped. Where all fare alike, all
    stay: then there is nothing to flee to.

    The rest of each round is asked in turn from the accounts that are left. Of each prompt that was compared one answer is
    kept, one on which most agreed where there is any. With one account, or a budget too small for one prompt an account and
    round, nothing is compared. Fewer accounts send as many requests later: ``budget.hours`` may end first. What is asked
    last is not compared.

    Findings: ``accounts_left``; ``compared_queries``, what comparing took.

    Args:
        share: of the budget for comparing, at most, in (0, 1).
        rounds: comparisons.
        tolerance: see above, in (0, 1].
    """

    name: ClassVar[str] = "sybil"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Douceur 2002 (The Sybil Attack), IPTPS; comparing the answers of accounts: MoatBench"
    adaptive: ClassVar[bool] = True

    share: float = 0.2
    rounds: int = 4
    tolerance: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.share < 1, "share", self.share, "must lie between 0 and 1")
        require(self.rounds >= 1, "rounds", self.rounds, "must be at least 1")
        require(0 < self.tolerance <= 1, "tolerance", self.tolerance, "must be more than 0 and at most 1")

    def draws_of_one(self, budget: Budget) -> int:
        """See `Harvest.draws_of_one`: what is compared is asked from every account."""
        return budget.accounts

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError` where a family of the pool has too few prompts for the budget."""
        total, good = client.remaining, np.arange(len(client.accounts))
        items = draw(pool, quotas(pool, total), context.rng)
        probes = int(self.share * total / (self.rounds * len(good))) if len(good) > 1 else 0
        parts: list[Harvested] = []
        at, compared = 0, 0
        for done in range(self.rounds):
            if probes:
                asked = self._of_all(client, items[at : at + probes], good, context.rng)
                at, compared = at + probes, compared + asked.asked
                agrees = agreeing(asked)
                times = np.bincount(asked.account[agrees], minlength=len(client.accounts))[good]  # type: ignore[index]
                stays = times >= self.tolerance * times.max(initial=0)
                parts = [*parts[:-1], *(_without(part, good[~stays]) for part in parts[-1:])]
                good = good[stays]
                agreed_on = np.isin(asked.item, asked.item[agrees])
                parts.append(asked.take(one_each(asked.item, agrees | ~agreed_on)))
            later = probes * len(good) * (self.rounds - 1 - done)
            batch = items[at : at + (client.remaining - later) // (self.rounds - done)]
            if len(batch):
                at += len(batch)
                parts.append(client.ask(batch, accounts=good[np.arange(len(batch)) % len(good)]))
        found = {"accounts_left": float(len(good)), "compared_queries": float(compared)}
        return replace(Harvested.concat(parts), findings=found)

    def _of_all(
        self, client: Client, items: NDArray[np.int64], accounts: NDArray[np.int64], rng: np.random.Generator
    ) -> Harvested:
        """The same prompts from each of these accounts, so that undefended answers are equal."""
        each, turns = np.repeat(items, len(accounts)), np.tile(accounts, len(items))
        if not client.interface.seed:
            return client.ask(each, accounts=turns, temperature=0.0)
        seeds = np.repeat(rng.integers(2**62, size=len(items), dtype=np.int64), len(accounts))
        return client.ask(each, accounts=turns, seeds=seeds, seeded=True)


def agreeing(asked: Harvested) -> NDArray[np.bool_]:
    """(R,) which answers say what more than half of the whole answers to their prompt say, and are whole; of all answers,
    where none is whole."""
    tokens, cut = asked.responses.tokens, asked.responses.cut
    texts = [row.tobytes() for row in tokens]
    agrees = np.zeros(len(asked), np.bool_)
    for item in np.unique(asked.item):
        rows = np.flatnonzero(asked.item == item)
        whole = rows[~cut[rows]] if not cut[rows].all() else rows
        said = [texts[row] for row in whole]
        commonest = max(dict.fromkeys(said), key=said.count)
        agrees[whole] = [text == commonest and 2 * said.count(commonest) > len(said) for text in said]
    return agrees


def one_each(items: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first allowed row of each item, in order."""
    rows = np.flatnonzero(allowed)
    return rows[np.sort(np.unique(items[rows], return_index=True)[1])]


def _without(part: Harvested, accounts: NDArray[np.int64]) -> Harvested:
    assert part.account is not None, "a client says who asked"
    return part.take(np.flatnonzero(~np.isin(part.account, accounts)))
