"""What providers have seen before a campaign begins, and what their detectors are fitted to: honest accounts that are not in
the campaign, and a red team of the provider's own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from attacks.accounts.operation import PACINGS, Operation
from configs.errors import ConfigError
from defenses.admission.detector import Detector
from defenses.base import Defense, Preparation, Prepared, Traffic, hooks_of
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.config.policy import Policy
from experiments.campaign.world.library import Library
from experiments.campaign.world.making import operators, people
from experiments.campaign.world.people import profiles
from experiments.campaign.world.provider import Provider, Watched
from lm.seeds import derived_seed, generator
from teacher.api.clock import DAY
from teacher.api.traffic import PromptLists

BLENDS, PACES = (0.1, 0.25, 1.0), (0.3, 1.0, 3.0)
"""Of the red team's operations: share of distillation, and pace as a multiple of `Operation`'s own."""


def fitted(campaign: Campaign, library: Library) -> dict[str, Prepared]:
    """What each detector and each admission defense with a `prepare` found in past traffic, by name.

    Raises:
        ConfigError: too little past traffic for what a detector is asked to guarantee.
    """
    parts: Mapping[str, Defense] = {**campaign.policy.admission, **campaign.policy.detectors}
    wanted = {name: part for name, part in parts.items() if "prepare" in hooks_of(part)}
    if not wanted:
        return {}
    before = _before(campaign)
    benign = _traffic(before, library, attacked=False)
    red_team = None
    if any(not isinstance(part, Detector) or part.needs_red_team for part in wanted.values()):
        red_team = _traffic(before, library, attacked=True)
    found = {}
    for name, part in wanted.items():
        context = Preparation(
            teacher=cast("Any", None),
            proxy=_no_model,
            clean_traces=_no_model,
            rng=generator(campaign.seed, "past", name),
            benign=lambda _: benign,
            red_team=lambda _: cast("Traffic", red_team),
        )
        try:
            found[name] = part.prepare(context)
        except ConfigError as error:
            where = "detectors" if name in campaign.policy.detectors else "admission"
            field = f"policy.{where}.{name}.{error.field.rpartition('.')[2]}"
            reason = f"{error.reason} (past.accounts and past.days say how much past traffic there is)"
            raise ConfigError(field, error.value, reason, error.choices) from error
    return found


def _no_model(*_: object) -> Any:
    raise ConfigError("policy.admission", "prepare", "needs a model, and a campaign has none")


def _before(campaign: Campaign) -> Campaign:
    """A campaign before the campaign: other accounts, an attack as the provider expects it."""
    past, days = campaign.past, campaign.past.days
    accounts = min(past.accounts, campaign.population.accounts)
    return replace(
        campaign,
        days=days,
        operations=_red_team(past.red_team, days),
        population=replace(campaign.population, accounts=accounts),
        policy=Policy(),
        release_days=(),
        seed=derived_seed(campaign.seed, "past"),
    )


def _red_team(accounts: int, days: float) -> dict[str, Operation]:
    """Several ways of harvesting, since a provider does not know which will come: blending, pacing, and a third to three
    times the pace that the reported campaigns had."""
    usual = Operation()
    ways = list(itertools.product(BLENDS, PACINGS, PACES))
    each = -(-accounts // len(ways))
    return {
        f"red_team_{number}": replace(
            usual,
            accounts=each,
            exchanges=max(round(each * days * pace * usual.planned_pace * share), 1),
            days=days,
            share=share,
            pacing=pacing,
            pace=4.0 * pace * usual.planned_pace,
            networks=max(each // 5, 1),
        )
        for number, (share, pacing, pace) in enumerate(ways)
    }


def _traffic(campaign: Campaign, library: Library, attacked: bool) -> Traffic:
    """Everything that honest accounts, or the red team, sent."""
    lists = PromptLists()
    population = people(campaign.population, campaign, library, lists, derived_seed(campaign.seed, "population"))
    daily = profiles(campaign.population)
    provider = Provider("past", Policy(), population, daily, lists, library.prompts, campaign.prices, {}, 0, 1)
    if attacked:
        for operator in operators(campaign, [provider], library, lists).values():
            operator.plan(0.0, campaign.days * DAY)
        provider.honest_streams.stop(np.arange(provider.honest), 0.0)
    seen: Watched = provider.serve(campaign.days * DAY)
    return Traffic(seen.requests, library.prompts, provider.accounts, seen.output_tokens)
