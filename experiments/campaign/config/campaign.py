"""A campaign as configuration: who attacks whom, among which honest users, under which policy, for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from attacks.accounts.operation import Operation
from configs.errors import ConfigError, require
from experiments.campaign.config import figures
from experiments.campaign.config.policy import Policy
from experiments.campaign.config.population import Population
from teacher.api.prices import Prices

ENCODERS = ("minilm", "hashing")


@dataclass(frozen=True)
class Place:
    """A provider in the market.

    Args:
        population: size of its honest population, as a share of the campaign's.
        guarded: whether it follows the policy; if not, it does nothing at all.
    """

    population: float = 1.0
    guarded: bool = True

    def __post_init__(self) -> None:
        require(0 < self.population <= 1, "market.population", self.population, "must be more than 0 and at most 1")


@dataclass(frozen=True)
class Past:
    """Traffic that detectors are fitted on, from before the campaign: other accounts, drawn anew.

    Args:
        accounts: honest ones; at most those of the population.
        days: for which they are watched.
        red_team: accounts of the provider's own red team, in operations of several kinds.
    """

    accounts: int = 8_000
    days: float = 7.0
    red_team: int = 540

    def __post_init__(self) -> None:
        for name in ("accounts", "days", "red_team"):
            require(getattr(self, name) > 0, f"past.{name}", getattr(self, name), "must be more than 0")
        require(self.days < math.inf and self.days % 1 == 0, "past.days", self.days, "must be whole days")


@dataclass(frozen=True)
class Campaign:
    """A campaign.

    Args:
        name: of the preset.
        days: simulated.
        operations: actors by name.
        release_days: days on which a model is released.
        market: providers by name, the one that is attacked first in front.
        population: honest accounts of the first provider.
        policy: what guarded providers do.
        prices: list prices, the same everywhere.
        past: what detectors are fitted on.
        epoch_hours: decisions are taken this often; a divisor of 24.
        encoder: of prompts: ``minilm`` or ``hashing``.
        seed: of everything drawn.
    """

    name: str
    days: float
    operations: Mapping[str, Operation]
    release_days: tuple[float, ...] = ()
    market: Mapping[str, Place] = field(default_factory=lambda: {"first": Place()})
    population: Population = field(default_factory=Population)
    policy: Policy = field(default_factory=Policy)
    prices: Prices = field(default_factory=Prices)
    past: Past = field(default_factory=Past)
    epoch_hours: float = 24.0
    encoder: str = "minilm"
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.days > 0, "campaign.days", self.days, "must be more than 0")
        require(self.epoch_hours > 0, "epoch_hours", self.epoch_hours, "must be more than 0")
        require(24 % self.epoch_hours == 0, "epoch_hours", self.epoch_hours, "must divide a day of 24 hours")
        require(self.days * 24 % self.epoch_hours == 0, "campaign.days", self.days, "must be a whole number of epochs")
        require(len(self.market) > 0, "market", dict(self.market), "must name a provider")
        if self.encoder not in ENCODERS:
            raise ConfigError("encoder", self.encoder, "is not an encoder of prompts", ENCODERS)
        for name, operation in self.operations.items():
            end = operation.start_day + operation.days
            require(
                end <= self.days,
                f"campaign.operations.{name}.days",
                end,
                f"ends after the {self.days:g} simulated days",
            )
            _check_reported(name, operation)
        for day in self.release_days:
            reason = f"must be from 0 to the {self.days:g} simulated days"
            require(0 <= day <= self.days, "campaign.release_days", day, reason)
        mimics, honest = (
            sum(o.accounts for o in self.operations.values() if o.mimic),
            self.honest(next(iter(self.market))),
        )
        reason = f"at the first provider cannot hold the {mimics} accounts that mimic honest ones"
        require(mimics < honest, "population.accounts", honest, reason)

    def honest(self, provider: str) -> int:
        """How many honest accounts a provider of the market has."""
        return max(round(self.population.accounts * self.market[provider].population), 1)

    @property
    def epochs(self) -> int:
        """How many there are."""
        return round(self.days * 24 / self.epoch_hours)


def _check_reported(name: str, operation: Operation) -> None:
    """What a report says of the campaign that an operation stands for is what it has."""
    if not operation.reported:
        return
    row = figures.reported(operation.reported)
    for column, field_ in (("exchanges", "exchanges"), ("window_days", "days"), ("accounts", "accounts")):
        said, has = row[column], getattr(operation, field_)
        if said is not None and float(said) != float(has):
            where = f"campaign.operations.{name}.{field_}"
            reason = (
                f"is not the {said:g} of the reported {operation.reported} (set reported= to say it stands for none)"
            )
            raise ConfigError(where, has, reason)
