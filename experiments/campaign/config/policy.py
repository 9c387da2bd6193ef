"""What a provider does about its accounts, as configuration: limits at admission, detectors, a ladder, sharing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from configs.errors import ConfigError
from defenses.admission.detector import Detector
from defenses.base import Defense, hooks_of
from experiments.campaign.config.ladder import RUNGS, Ladder
from experiments.campaign.sharing.board import SharingTerms


@dataclass(frozen=True)
class Policy:
    """A policy.

    Args:
        name: for tables.
        admission: defenses that judge each request, in order.
        detectors: that watch and raise alarms.
        ladder: what follows from alarms.
        sharing: how indicators go between providers; null: they do not.
        on_indicator: what an account gets that matches a shared indicator, see `RUNGS`.
    """

    name: str = "none"
    admission: Mapping[str, Defense] = field(default_factory=dict)
    detectors: Mapping[str, Detector] = field(default_factory=dict)
    ladder: Ladder = field(default_factory=Ladder)
    sharing: SharingTerms | None = None
    on_indicator: str = "verify"

    def __post_init__(self) -> None:
        for name, defense in self.admission.items():
            if "admit" not in hooks_of(defense) or isinstance(defense, Detector):
                choices = "is not judged at admission: detectors go under policy.detectors, others act on answers"
                raise ConfigError(f"policy.admission.{name}", type(defense).__name__, choices)
        for name in self.admission.keys() & self.detectors.keys():
            raise ConfigError(
                f"policy.detectors.{name}", name, "is the name of an admission defense too: give it another"
            )
        if self.on_indicator not in RUNGS[1:]:
            raise ConfigError("policy.on_indicator", self.on_indicator, "is not something to do", RUNGS[1:])
