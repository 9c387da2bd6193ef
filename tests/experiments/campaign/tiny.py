"""Campaigns that run in a moment: some hundred honest accounts, some tens of attackers', a few days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.accounts.operation import Operation
from defenses.admission.detector import Detector, Suspicion
from defenses.admission.identity.verification import Verification
from defenses.admission.limits.query_quota import QueryQuota
from experiments.campaign.config.campaign import Campaign, Past, Place
from experiments.campaign.config.ladder import Ladder
from experiments.campaign.config.policy import Policy
from experiments.campaign.config.population import Population
from experiments.campaign.sharing.board import SharingTerms

ASKS = {"coding": 2.0, "reasoning": 1.0}


def operation(**fields):
    usual = {"exchanges": 1500, "days": 4.0, "accounts": 30, "capabilities": ASKS, "share": 0.5, "networks": 12}
    return Operation(**{**usual, "batch": 6, "lead_days": 2.0, **fields})


def campaign(operations=None, **fields):
    usual = {
        "name": "tiny",
        "days": 4.0,
        "operations": {"lab": operation()} if operations is None else operations,
        "population": Population(accounts=300, requests_per_day=8.0),
        "past": Past(accounts=200, days=2.0, red_team=27),
        "encoder": "hashing",
    }
    return Campaign(**{**usual, **fields})


def policy(*rungs, detectors=None, **ladder):
    """Every attackers' account has an alarm each day, and these rungs follow at once."""
    settings = {"delay_hours": 0.0, "rungs": rungs or ("log",), **ladder}
    return Policy("told", detectors=detectors or {"told": Told()}, ladder=Ladder(**settings))


@dataclass(frozen=True)
class Told(Detector):
    """Alarms on whoever has no identity of his own and has been served, ``together`` in one cluster or each alone.

    Args:
        together: whether they are found as a cluster.
        wrongly: also every so many-th honest account; 0 none.
    """

    name: ClassVar[str] = "known"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "the test's own knowledge"

    every_hours: float = 24.0
    together: bool = False
    wrongly: int = 0

    def fit(self, benign, red_team, rng):
        return {}

    def watch(self, requests, output_tokens, state):
        state.memory.setdefault("seen", set()).update(np.unique(requests.account).tolist())

    def examine(self, state, now):
        genuine = state.accounts.genuine
        if self.wrongly:
            genuine = genuine & (np.arange(len(genuine)) % self.wrongly != 0)
        who = np.array(sorted(state.memory["seen"]), np.int32)
        guilty = ~genuine[who]
        cluster = np.where(guilty & self.together, 0, -1).astype(np.int32)
        return Suspicion(who, np.where(guilty, 2.0, 0.5), guilty, cluster)


@dataclass(frozen=True)
class Busy(Detector):
    """Alarms on whoever sends more than so many requests in all; blind to who it is."""

    name: ClassVar[str] = "busy"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "arithmetic"

    every_hours: float = 24.0
    most: int = 20

    def fit(self, benign, red_team, rng):
        return {}

    def watch(self, requests, output_tokens, state):
        count = state.memory.setdefault("count", np.zeros(0, np.int64))
        count = np.pad(count, (0, len(state.accounts) - len(count)))
        state.memory["count"] = count + np.bincount(requests.account, minlength=len(count))

    def examine(self, state, now):
        count = state.memory["count"]
        who = np.flatnonzero(count)
        return Suspicion.alone(who, count[who] / self.most, 1.0)


MARKET = {"first": Place(), "second": Place(population=0.3), "weak": Place(population=0.2, guarded=False)}
STRICT = Policy(
    "strict",
    admission={"quota": QueryQuota(queries=40, window_hours=48.0), "identity": Verification(after_requests=15)},
    detectors={"told": Told(together=True, wrongly=9), "busy": Busy()},
    ladder=Ladder(rungs=("throttle", "hide", "verify", "alter", "ban"), cluster="alter", delay_hours=12.0),
    sharing=SharingTerms(),
)
CAMPAIGNS = {
    "left alone": campaign(),
    "nobody": campaign({}),
    "nobody is watched for": campaign({}, policy=policy("ban", detectors={"busy": Busy()})),
    "banned one by one": campaign({"lab": operation(replacement_hours=3.0)}, policy=policy("ban")),
    "banned together": campaign(
        {"lab": operation(replacement_hours=0.0)},
        policy=policy(detectors={"told": Told(together=True)}, delay_hours=24.0),
    ),
    "everything at once": campaign(
        {
            "one": operation(
                evasion=True, displacement=0.7, contamination=0.3, replacement_hours=1.0, probe_budget=300
            ),
            "two": operation(pacing="scheduler", share=1.0, start_day=1.0, days=2.5, standby=15, standby_after=0.2),
            "null": operation(mimic=True),
        },
        policy=STRICT,
        market=MARKET,
        release_days=(1.5,),
        epoch_hours=8.0,
    ),
    "hour by hour": campaign(
        {"lab": operation(days=2.0, replacement_hours=0.0)}, days=2.0, epoch_hours=1.0, policy=STRICT
    ),
}
