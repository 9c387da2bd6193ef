"""What one simulated campaign leaves behind, as tables. Knows nothing of how it was simulated or how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from experiments.store.maintenance.lineage import NOWHERE, Lineage

HONEST = ""
"""Name in a column ``operation`` of whoever belongs to no attack."""


@dataclass(frozen=True)
class CampaignResult:
    """One campaign under one policy with one seed.

    Args:
        preset: name of the campaign.
        policy: name of what the providers do.
        seed: of the run.
        facts: JSON-able: ``days``, ``epoch_hours``, ``operations`` (name -> exchanges planned, accounts, days, source),
            ``providers`` (names, the first is the one attacked first), ``events``, ``seconds``, ``peak_memory`` (bytes),
            ``dollars`` (operation -> what -> US dollars: tokens, accounts, proxies, identities), ``encoder`` of prompts,
            ``opened`` (operation -> accounts), ``actions`` (rung -> ``atlas``, its MITRE ATLAS identifier, and how many
            ``attack`` and ``honest`` accounts had it as their highest),
            ``config`` (the resolved configuration).
        epochs: a row for each epoch and provider. ``epoch``, ``day`` (its end, in days from the start), ``provider``;
            numbers of requests of honest accounts ``honest_sent``, of which ``honest_served`` + ``honest_refused`` (429) +
            ``honest_blocked`` (banned, or lost to verification) and, within the served, ``honest_hidden`` and
            ``honest_altered``; the same six with ``attack_``; ``distil_usable`` (attack requests for distillation, served
            with nothing hidden or altered); numbers of accounts ``attack_active``, ``attack_opened``, ``attack_banned``,
            ``attack_lost`` (gave up or failed verification), ``honest_banned``, ``honest_lost``; ``alarms`` (accounts),
            ``alarms_true``, ``clusters``, ``reviews``; ``attack_dollars`` spent in this epoch; ``indicators_sent``,
            ``indicators_received``, ``indicators_true``.
        harvest: a row for each epoch, provider, operation and capability. ``planned`` (exchanges that the operation meant to
            make in all, the same in each row of a capability), ``sent``, and of these ``refused`` (429 or blocked),
            ``usable`` (as the teacher gave them), ``hidden`` (without the working), ``altered``, ``contaminated`` (silently
            answered by another model on the way).
        accounts: a row for each account that ever was: ``provider``, ``account``, ``operation``, ``kind`` (workload, or hard
            negative), ``hard_negative``, ``opened_day``, ``requests``, ``served``, ``refused``, ``blocked``, ``altered``,
            ``distil_usable``, ``dollars``, ``first_alarm_day``, ``acted_day`` (first action above ``log``), ``banned_day``,
            ``lost_day`` (null where never), ``rung`` (highest reached, see `RUNGS`), ``cluster`` (row of ``clusters``, -1),
            and ``score_NAME`` (highest score so far, null where never judged) and ``alarm_NAME`` of each detector.
        clusters: a row for each group found: ``provider``, ``day``, ``detector``, ``size``, ``attackers``, ``honest``,
            ``operations`` (how many have at least one account in it), ``main_operation``, ``main_count``, ``acted`` (whether
            it was reviewed within the budget and acted upon).
        edges: what links the accounts of the largest group found: ``provider``, ``a``, ``b`` (account ids), ``weight``.
        lineage: where it comes from; empty where it was not read from a store.
    """

    preset: str
    policy: str
    seed: int
    facts: Mapping[str, Any]
    epochs: pl.DataFrame
    harvest: pl.DataFrame
    accounts: pl.DataFrame
    clusters: pl.DataFrame
    edges: pl.DataFrame
    lineage: Lineage = field(default=NOWHERE, kw_only=True)
