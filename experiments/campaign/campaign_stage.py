"""A campaign as a stage: stored under the hash of its configuration, like everything else that takes time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from configs.build import by_class, describe
from configs.content import content_of
from configs.identity import identity
from experiments.campaign.campaign_result import CampaignResult
from experiments.campaign.config import figures
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.config.population import ACCOUNT, REQUEST
from experiments.store.artifact import Artifact
from experiments.store.layout import Ref
from experiments.store.maintenance.lineage import NOWHERE, Lineages
from experiments.store.stage import Context, Stage

if TYPE_CHECKING:
    from experiments.store.entry import Entry

EPOCH = 400
"""Bytes that the record of a provider's epoch takes at least."""
TABLES = ("epochs", "harvest", "accounts", "clusters", "edges")


@dataclass(frozen=True)
class CampaignStage(Stage):
    """Simulates one campaign under one policy with one seed.

    Args:
        campaign: what is simulated.
        threads: that draw traffic at a time; changes nothing but time, and is in no hash.
    """

    name: ClassVar[str] = "campaign"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 120.0

    campaign: Campaign
    threads: int = 1

    def config(self) -> dict[str, Any]:
        """See `Stage.config`. Where order decides what is drawn or who is judged first, it is part of the configuration."""
        campaign = self.campaign
        order = [campaign.operations, campaign.market, campaign.policy.admission, campaign.policy.detectors]
        order += [campaign.population.workloads, *(o.capabilities for o in campaign.operations.values())]
        return {
            "campaign": identity(campaign),
            "order": [list(parts) for parts in order],
            "data": content_of(figures.files_read()),
        }

    def described(self) -> dict[str, Any]:
        """The configuration as it is kept with the result; parts are lists where their order matters."""
        described: dict[str, Any] = describe(self.campaign)
        policy, population = described["policy"], described["population"]
        for part in ("admission", "detectors"):
            policy[part] = _in_order(policy[part])
        population["workloads"] = _in_order(population["workloads"])
        for operation in described["operations"].values():
            operation["capabilities"] = _in_order(operation["capabilities"])
        for part in ("operations", "market"):
            described[part] = _in_order(described[part])
        return described

    def inputs(self) -> dict[str, Stage]:
        """None: all of it is configuration."""
        return {}

    def memory(self) -> int:
        """See `Stage.memory`: what is drawn in an epoch, the accounts of all providers, a record of each epoch."""
        campaign = self.campaign
        honest = sum(campaign.honest(name) for name in campaign.market)
        opened = sum(o.accounts + o.standby + (o.most_accounts or 0) for o in campaign.operations.values())
        sent = sum(min(o.most_pace, o.planned_pace) * o.accounts for o in campaign.operations.values())
        days = campaign.epoch_hours / 24
        if campaign.policy.detectors:
            days = max(days, campaign.past.days * min(campaign.past.accounts / honest, 1))
        everybody = replace(campaign.population, accounts=honest).memory(days)
        return everybody + round(
            REQUEST * sent * days + ACCOUNT * opened + EPOCH * campaign.epochs * len(campaign.market)
        )

    def run(self, context: Context) -> Artifact:
        """The five tables of a `CampaignResult`, and its facts."""
        from experiments.campaign.world.simulation import Simulation

        world = Simulation(self.campaign, self.threads)
        result = world.run(context.progress)
        known = {**result.facts, "preset": result.preset, "policy": result.policy, "seed": result.seed}
        tables: dict[str, pl.DataFrame] = {name: getattr(result, name) for name in TABLES}
        tables["indicators"] = world.shared.table()
        return Artifact(tables=tables, meta={"facts": known, "config": self.described()})


def _in_order(parts: Mapping[str, Any]) -> list[list[Any]]:
    return [list(item) for item in parts.items()]


def result_of(entry: Entry, lineages: Lineages | None = None) -> CampaignResult:
    """What a report needs of a stored campaign; where it comes from only if its store's ``lineages`` are given."""
    known = {**entry.meta["facts"], "config": by_class(entry.meta["config"])}
    tables = {name: entry.table(name) for name in TABLES}
    made = NOWHERE if lineages is None else lineages.of(Ref(CampaignStage.name, entry.key))
    return CampaignResult(known["preset"], known["policy"], int(known["seed"]), known, **tables, lineage=made)
