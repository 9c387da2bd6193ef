"""The simulation: epoch after epoch, operations plan, accounts send, providers judge, watch, act and share.

Vectorised within an epoch, decisions between epochs; the same seed gives the same campaign, whatever the number of threads.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from attacks.accounts.operation import Operation
from experiments.campaign.campaign_result import CampaignResult
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.config.ladder import RUNGS
from experiments.campaign.sharing.indicators import ATLAS
from experiments.campaign.world import making
from experiments.campaign.world.climb import Acted
from experiments.campaign.world.indicator_exchange import Shared
from experiments.campaign.world.library import library
from experiments.campaign.world.past import fitted
from experiments.campaign.world.provider import Provider, Watched
from experiments.campaign.world.records import Records
from experiments.store.maintenance.lineage import NOWHERE
from lm.seeds import derived_seed, generator
from teacher.api.traffic import PromptLists


class Simulation:
    """A campaign in progress.

    Args:
        campaign: what is simulated.
        threads: that draw traffic at a time; changes nothing but time.

    Raises:
        ConfigError: detectors that have too little past traffic to be fitted on.
    """

    def __init__(self, campaign: Campaign, threads: int = 1) -> None:
        self.campaign = campaign
        prompts, lists = library(campaign.encoder), PromptLists()
        prepared = fitted(campaign, prompts)
        self.providers = [making.provider(campaign, n, prompts, lists, prepared, threads) for n in campaign.market]
        self.operators = making.operators(campaign, self.providers, prompts, lists)
        self.mimics = making.mimics(campaign, self.providers[0])
        self.records = Records(campaign, self.providers, self.operators, generator(campaign.seed, "contamination"))
        self.shared = Shared(campaign.policy, self.providers, derived_seed(campaign.seed, "sharing"))

    def run(
        self,
        progress: Callable[[int, int, str], None] = lambda *_: None,
        listen: Callable[[Provider, Watched], None] = lambda *_: None,
    ) -> CampaignResult:
        """The whole campaign.

        Args:
            progress: told after each epoch: how many, of how many, the day.
            listen: given what came of each provider's requests in each epoch, before anything follows from it.
        """
        begun = time.perf_counter()
        for epoch in range(self.campaign.epochs):
            self._epoch(epoch, listen)
            progress(epoch + 1, self.campaign.epochs, f"day {(epoch + 1) * self.campaign.epoch_hours / 24:g}")
        return self._result(time.perf_counter() - begun)

    def _epoch(self, epoch: int, listen: Callable[[Provider, Watched], None]) -> None:
        hours = self.campaign.epoch_hours
        days, now, end = hours / 24.0, epoch * 3600.0 * hours, (epoch + 1) * 3600.0 * hours
        for operator in self.operators.values():
            operator.plan(now, end)
        came = {name: np.zeros(2, np.int64) for name in self.operators}
        for provider in self.providers:
            seen = provider.serve(end)
            listen(provider, seen)
            for name, counts in self.records.traffic(epoch, provider, seen).items():
                came[name] += counts
            alarms = provider.watch(seen, end)
            exchanged = self.shared.read(provider, seen, end)
            acted = provider.act(end, days)
            exchanged |= self.shared.publish(provider, acted, seen, end)
            self._pay_identities(provider, acted)
            self.records.actions(epoch, provider, acted, alarms, exchanged)
        for name, operator in self.operators.items():
            operator.look(end, days, int(came[name][0]), int(came[name][1]))
        self.records.costs(epoch)

    def _pay_identities(self, provider: Provider, acted: Acted) -> None:
        """An operation tries to get each of its accounts past an identity check, and pays for it."""
        place = self.providers.index(provider)
        for operator in self.operators.values():
            operator.identities += int(np.isin(acted.challenged, operator.ids(place)).sum())

    def _actions(self) -> dict[str, dict[str, Any]]:
        """By rung: MITRE ATLAS identifier, and accounts whose highest rung it was."""
        counts = {"attack": np.zeros(len(RUNGS), np.int64), "honest": np.zeros(len(RUNGS), np.int64)}
        for provider in self.providers:
            rung = provider.climb.state["rung"]
            counts["attack"] += np.bincount(rung[provider.honest :], minlength=len(RUNGS))
            counts["honest"] += np.bincount(rung[: provider.honest], minlength=len(RUNGS))
        return {
            name: {"atlas": ATLAS[name], **{who: int(of[place]) for who, of in counts.items()}}
            for place, name in enumerate(RUNGS)
            if place and any(of[place] for of in counts.values())
        }

    def _result(self, seconds: float) -> CampaignResult:
        campaign, peak = self.campaign, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        facts: dict[str, Any] = {
            "days": campaign.days,
            "epoch_hours": campaign.epoch_hours,
            "operations": {name: _in_short(operation) for name, operation in campaign.operations.items()},
            "providers": [p.name for p in self.providers],
            "events": self.records.events,
            "seconds": seconds,
            "peak_memory": peak * (1 if sys.platform == "darwin" else 1024),
            "dollars": self.records.dollars(),
            "encoder": campaign.encoder,
            "opened": {name: o.opened for name, o in self.operators.items()},
            "actions": self._actions(),
        }
        return CampaignResult(
            preset=campaign.name,
            policy=campaign.policy.name,
            seed=campaign.seed,
            facts=facts,
            **self.records.tables(self.mimics),
            lineage=NOWHERE,
        )


def _in_short(operation: Operation) -> Mapping[str, Any]:
    return {
        "exchanges": 0 if operation.mimic else operation.exchanges,
        "accounts": operation.accounts,
        "days": operation.days,
        "source": operation.reported,
    }
