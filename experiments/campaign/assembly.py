"""From a resolved configuration to a campaign; checks that it can be, before anything is simulated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attacks.accounts.operation import Operation
from configs.build import build, from_mapping
from configs.errors import ConfigError, require
from experiments.campaign.campaign import Campaign, Past, Place
from experiments.campaign.feasible import check_feasible
from experiments.campaign.link import CapabilityLink
from experiments.campaign.policy import Policy
from experiments.campaign.population import Population
from experiments.campaign.stage import CampaignStage
from experiments.compose import PATHS
from teacher.api.prices import Prices

PARTS = (
    "campaign", "population", "market", "policy", "prices", "past", "link", "curves", "seed", "epoch_hours", "encoder",
    "threads",
)  # fmt: skip
"""Parts of a configuration that say what a campaign is, and how it is read."""
SHIPPED = "shipped"
"""Of ``curves``: those that come with the project."""
PRESET = ("name", "days", "release_days", "operations")


def stage_from(plain: Mapping[str, Any]) -> CampaignStage:
    """The stage that a resolved configuration describes.

    Raises:
        ConfigError: any field that cannot be, named; more exchanges than the accounts may make.
    """
    for name in plain:
        if name not in (*PARTS, *PATHS, "experiment"):
            raise ConfigError(name, plain[name], "is not a part of a campaign", (*PARTS, *PATHS), meant=name)
    for name in ("campaign", "market"):
        require(isinstance(plain[name], Mapping), name, plain[name], "must be chosen")
    for name, place in plain["market"].items():
        require(
            isinstance(place, Mapping), f"market.{name}", place, "must say how large it is and whether it is guarded"
        )
    preset = plain["campaign"]
    for name in ("name", "days"):
        require(name in preset, f"campaign.{name}", "", "must be given")
    for name in preset:
        if name not in PRESET:
            raise ConfigError(f"campaign.{name}", preset[name], "is not a field here", PRESET, meant=name)
    operations = {
        name: build(node, Operation, f"campaign.operations.{name}")
        for name, node in (preset.get("operations") or {}).items()
    }
    threads = plain["threads"]
    require(isinstance(threads, int) and threads >= 1, "threads", threads, "must be a whole number, at least 1")
    require(
        isinstance(plain["seed"], int) and plain["seed"] >= 0,
        "seed",
        plain["seed"],
        "must be a whole number, at least 0",
    )
    link_from(plain)
    curves = str(plain["curves"])
    require(curves == SHIPPED or Path(curves).is_file(), "curves", curves, f"is neither {SHIPPED!r} nor a file")
    campaign = Campaign(
        name=str(preset["name"]),
        days=float(preset["days"]),
        operations=operations,
        release_days=tuple(float(day) for day in preset.get("release_days") or ()),
        market={n: from_mapping(Place, node, f"market.{n}") for n, node in plain["market"].items()},
        population=build(plain["population"], Population, "population"),
        policy=build(plain["policy"], Policy, "policy"),
        prices=build(plain["prices"], Prices, "prices"),
        past=from_mapping(Past, plain["past"], "past"),
        epoch_hours=float(plain["epoch_hours"]),
        encoder=str(plain["encoder"]),
        seed=int(plain["seed"]),
    )
    check_feasible(campaign)
    return CampaignStage(campaign, threads)


def link_from(plain: Mapping[str, Any]) -> CapabilityLink:
    """How its exchanges stand for queries of the lab."""
    return build(plain["link"], CapabilityLink, "link")
