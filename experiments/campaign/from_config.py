"""From a resolved configuration to a campaign; checks that it can be, before anything is simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from attacks.accounts.operation import Operation
from configs.build import build, converted, from_mapping
from configs.errors import ConfigError, require
from configs.groups import chosen
from configs.ranges import whole_number
from experiments.campaign.campaign_stage import CampaignStage
from experiments.campaign.config.campaign import Campaign, Past, Place
from experiments.campaign.config.policy import Policy
from experiments.campaign.config.population import Population
from experiments.campaign.curves.link import CapabilityLink
from experiments.campaign.world.feasible import check_feasible
from experiments.compose.compose import PATHS
from teacher.api.prices import Prices

PARTS = (
    "campaign", "population", "market", "policy", "prices", "past", "link", "curves", "seed", "epoch_hours", "encoder",
    "threads",
)  # fmt: skip
"""Parts of a configuration that say what a campaign is, and how it is read."""
SHIPPED = "shipped"
"""Of ``curves``: those that come with the project."""
MOST_THREADS = 1024
"""More than any machine gains from."""


@dataclass(frozen=True)
class Preset:
    """What is chosen as ``campaign``; see `Campaign` for the fields."""

    name: str
    days: float
    operations: Mapping[str, Operation] = field(default_factory=dict)
    release_days: tuple[float, ...] = ()


def stage_from(config: DictConfig | Mapping[str, Any]) -> CampaignStage:
    """The stage that a resolved configuration describes.

    Raises:
        ConfigError: any field that cannot be, named; more exchanges than the accounts may make.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    for name in plain:
        if name not in (*PARTS, *PATHS, "experiment"):
            raise ConfigError(name, plain[name], "is not a part of a campaign", (*PARTS, *PATHS), meant=name)
    preset = from_mapping(Preset, chosen(plain, "campaign"), "campaign")
    threads = whole_number(plain.get("threads"), "threads", 1, MOST_THREADS)
    link_from(plain)
    _check_curves(plain.get("curves"))
    campaign = Campaign(
        name=preset.name,
        days=preset.days,
        operations=preset.operations,
        release_days=preset.release_days,
        market=converted(Mapping[str, Place], chosen(plain, "market"), "market"),
        population=build(chosen(plain, "population"), Population, "population"),
        policy=build(chosen(plain, "policy"), Policy, "policy"),
        prices=build(chosen(plain, "prices"), Prices, "prices"),
        past=from_mapping(Past, plain.get("past"), "past"),
        epoch_hours=converted(float, plain.get("epoch_hours"), "epoch_hours"),
        encoder=converted(str, plain.get("encoder"), "encoder"),
        seed=whole_number(plain.get("seed"), "seed", 0),
    )
    check_feasible(campaign)
    return CampaignStage(campaign, threads)


def _check_curves(where: Any) -> None:
    """Refuse what the report could not be read off; reads nothing where it is the table that comes with the project."""
    require(isinstance(where, str), "curves", where, f"must be {SHIPPED!r} or a file")
    if where != SHIPPED:
        from experiments.campaign.curves.choice import curves_of

        curves_of(where)


def link_from(plain: Mapping[str, Any]) -> CapabilityLink:
    """How its exchanges stand for queries of the lab."""
    return build(chosen(plain, "link"), CapabilityLink, "link")
