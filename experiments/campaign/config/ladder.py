"""What follows from alarms, as configuration: rungs that accounts are moved up by, delays, reviews."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.errors import ConfigError, require
from defenses.admission.identity.verification import Verification

RUNGS = ("none", "log", "verify", "throttle", "hide", "alter", "ban", "ban_cluster")
"""What a provider's ladder can do to an account, mildest first; column ``rung`` of the accounts holds the number."""

ACCOUNT_RUNGS = RUNGS[1:-1]


@dataclass(frozen=True)
class Ladder:
    """What follows from alarms.

    An alarm on an account moves it up by one rung; a cluster that is found together waits for a review, the largest first,
    and gets ``cluster`` once it has had one. Both come ``delay_hours`` later.

    Args:
        rungs: what an account gets for its first alarm, its second, and so on; the last for all further ones.
        cluster: what all accounts of a reviewed cluster get.
        delay_hours: from the alarm to the action.
        reviews_per_day: clusters that can be looked at in a day; the others wait.
        patience_days: for which an unreviewed cluster waits before it is given up.
        throttle_per_day: requests that a throttled account may make in a day.
        verification: pass rates of identity checks.
    """

    rungs: tuple[str, ...] = ("verify", "ban")
    cluster: str = "ban_cluster"
    delay_hours: float = 24.0
    reviews_per_day: float = 200.0
    patience_days: float = 7.0
    throttle_per_day: int = 20
    verification: Verification = field(default_factory=Verification)

    def __post_init__(self) -> None:
        for rung in self.rungs:
            if rung not in ACCOUNT_RUNGS:
                raise ConfigError("ladder.rungs", rung, "is not something to do to an account", ACCOUNT_RUNGS)
        if self.cluster not in RUNGS[1:]:
            raise ConfigError("ladder.cluster", self.cluster, "is not something to do to a cluster", RUNGS[1:])
        require(len(self.rungs) > 0, "ladder.rungs", self.rungs, "must hold one rung at least")
        for name in ("delay_hours", "reviews_per_day", "patience_days", "throttle_per_day"):
            require(getattr(self, name) >= 0, f"ladder.{name}", getattr(self, name), "must be at least 0")
