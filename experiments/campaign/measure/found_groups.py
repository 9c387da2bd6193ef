"""How the groups of accounts that were found match the operations there really were."""

from __future__ import annotations

import polars as pl

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.proportion import ratio, wilson
from experiments.measure.estimate import Estimate

NOTHING = "no group was found"


def groups(result: CampaignResult) -> dict[Key, Estimate]:
    """Per finder (and for all together, '') what it found, and per operation how much of it was found.

    ``clusters`` found, ``clusters_acted`` upon, ``cluster_size`` (mean), ``cluster_largest``; ``purity``: the main
    operation's share of the accounts in a group, the mean over groups weighted by size (a group without attackers has
    0); ``merged``: groups that hold accounts of several operations; ``honest_only``: groups without any attacker. A
    group found again on another day counts again. ``completeness``: the share of an operation's accounts that are in
    some group.
    """
    found: dict[Key, Estimate] = {}
    for name in ["", *sorted(str(d) for d in result.clusters["detector"].unique().to_list())]:
        own = result.clusters.filter(pl.col("detector") == name) if name else result.clusters
        found |= _of(own, "finder" if name else "", name)
    attack = result.accounts.filter(pl.col("operation") != HONEST)
    found[Key("completeness")] = _completeness(attack)
    for operation in sorted(str(o) for o in attack["operation"].unique().to_list()):
        found[Key("completeness", "operation", operation)] = _completeness(
            attack.filter(pl.col("operation") == operation)
        )
    return found


def _of(clusters: pl.DataFrame, part: str, of: str) -> dict[Key, Estimate]:
    members = float((clusters["attackers"] + clusters["honest"]).sum())
    # A group without attackers has no main operation, whatever its column says.
    main = clusters.filter((pl.col("main_operation") != HONEST) & (pl.col("attackers") > 0))
    return {
        Key("clusters", part, of): Estimate(float(clusters.height)),
        Key("clusters_acted", part, of): Estimate(float(clusters["acted"].sum())),
        Key("cluster_size", part, of): ratio(members, clusters.height, NOTHING),
        Key("cluster_largest", part, of): (
            Estimate(float((clusters["attackers"] + clusters["honest"]).to_numpy().max()))
            if clusters.height
            else Estimate(None, reason=NOTHING)
        ),
        Key("purity", part, of): ratio(float(main["main_count"].sum()), members, NOTHING),
        Key("merged", part, of): Estimate(float((clusters["operations"] >= 2).sum())),
        Key("merged_share", part, of): ratio(float((clusters["operations"] >= 2).sum()), clusters.height, NOTHING),
        Key("honest_only", part, of): Estimate(float((clusters["attackers"] == 0).sum())),
    }


def _completeness(attack: pl.DataFrame) -> Estimate:
    return wilson(attack.filter(pl.col("cluster").fill_null(-1) >= 0).height, attack.height, "no attack accounts")
