"""From suspicion to action: reviews, delays, and a ladder of what is done to an account. Knows no detector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from defenses.admission.detector import Suspicion
from defenses.admission.identity.verification import CheckOutcome
from experiments.campaign.config.ladder import RUNGS, Ladder
from experiments.campaign.world.columns import Columns
from teacher.api.accounts import Accounts


class Found(NamedTuple):
    """A cluster on its way through review.

    Args:
        members: (K,) account ids.
        row: of the provider's table of clusters.
        time: virtual second at which it was found.
        waits_until: virtual second of the action; infinite while it has not been reviewed.
    """

    members: NDArray[np.int32]
    row: int
    time: float
    waits_until: float


class Acted(NamedTuple):
    """What was done at the end of an epoch.

    Args:
        banned: (K,) accounts banned.
        lost: (K,) accounts that gave up or failed an identity check.
        challenged: (K,) accounts that were asked for their identity.
        clusters: clusters that were acted upon.
        reviews: how many clusters were looked at.
    """

    banned: NDArray[np.int32]
    lost: NDArray[np.int32]
    challenged: NDArray[np.int32]
    clusters: tuple[Found, ...]
    reviews: int


class Climb:
    """A ladder at work at one provider.

    Args:
        ladder: its configuration.
        accounts: the provider's.
        seed: of the outcomes of identity checks.

    Attributes:
        state: a row an account: ``rung`` (highest reached), ``alarms`` (acted upon), ``throttled``, ``hidden``, ``altered``,
            ``acted``, ``banned``, ``lost``, ``alarmed`` (virtual seconds of the first, NaN where never), ``checked``.
    """

    def __init__(self, ladder: Ladder, accounts: Accounts, seed: int) -> None:
        self.ladder, self._accounts, self._seed = ladder, accounts, seed
        never = np.float64(np.nan)
        self.state = Columns(
            {
                "rung": np.int8(0),
                "alarms": np.int16(0),
                "throttled": False,
                "hidden": False,
                "altered": False,
                "acted": never,
                "banned": never,
                "lost": never,
                "alarmed": never,
                "checked": np.int16(0),
            }
        )
        self._waiting: list[tuple[float, NDArray[np.int32]]] = []
        self._found: list[Found] = []
        self._budget, self._day = 0.0, -1
        self._closed = np.zeros(0, np.int32)
        self._indicated: list[tuple[str, NDArray[np.int32]]] = []

    def suspect(self, found: Suspicion, now: float, first_row: int) -> list[Found]:
        """Take note of what a detector found.

        Args:
            found: accounts with alarms, alone or in clusters.
            now: virtual seconds.
            first_row: of the table of clusters, for the first cluster found here.

        Returns:
            the clusters, in the order of their rows.
        """
        self.state.grow(len(self._accounts))
        guilty = found.account[found.alarm]
        fresh = np.isnan(self.state["alarmed"][guilty])
        self.state["alarmed"][guilty[fresh]] = now
        grouped = found.cluster[found.alarm]
        alone = [guilty[grouped < 0]]
        clusters: list[Found] = []
        for number in np.unique(grouped[grouped >= 0]):
            members = guilty[grouped == number]
            if len(members) > 1:
                clusters.append(Found(members, first_row + len(clusters), now, np.inf))
            else:  # the last of a group whose others are gone
                alone.append(members)
        if any(len(part) for part in alone):
            self._waiting.append((now + 3600.0 * self.ladder.delay_hours, np.concatenate(alone)))
        self._found += clusters
        return clusters

    def act(self, now: float, days: float) -> Acted:
        """Review, then do what is due at ``now``, after an epoch of this many days."""
        self.state.grow(len(self._accounts))
        before = {name: self.state[name].copy() for name in ("banned", "lost", "checked")}
        before["lost"][self._closed] = np.nan
        self._closed = np.zeros(0, np.int32)
        for rung, accounts in self._indicated:
            self._apply(rung, accounts, now)
        self._indicated = []
        done = self._do_due(now)  # before the reviews, so that none is spent on a cluster that is about to go
        reviews = self._review(now, days)
        done += self._do_due(now)
        new = {name: np.isnan(before[name]) & ~np.isnan(self.state[name]) for name in ("banned", "lost")}
        return Acted(
            _ids(new["banned"]),
            _ids(new["lost"]),
            _ids(self.state["checked"] > before["checked"]),
            tuple(done),
            reviews,
        )

    def _do_due(self, now: float) -> list[Found]:
        """Move accounts up whose time has come, and act on reviewed clusters that still hold somebody; those clusters."""
        for due, accounts in self._waiting:
            if due <= now:
                self._move_up(accounts, now)
        self._waiting = [entry for entry in self._waiting if entry[0] > now]
        done = []
        for found in self._found:
            if found.waits_until <= now and self._size(found):
                self._apply(self.ladder.cluster, found.members, now)
                done.append(found)
        self._found = [found for found in self._found if found.waits_until > now]
        return done

    def _size(self, found: Found) -> int:
        """How many of its accounts are still there."""
        return int(np.count_nonzero(~self._accounts.banned[found.members]))

    def indicate(self, rung: str, accounts: NDArray[np.int32], now: float) -> None:
        """Accounts that match what another provider told: ``rung`` at once, as after a review."""
        self.state.grow(len(self._accounts))
        fresh = accounts[np.isnan(self.state["alarmed"][accounts])]
        self.state["alarmed"][fresh] = now
        self._indicated.append((rung, accounts))

    def close(self, accounts: NDArray[np.integer], now: float) -> None:
        """Accounts that were lost to an identity check elsewhere (at admission)."""
        self.state.grow(len(self._accounts))
        self.state["lost"][accounts] = now
        self._closed = np.concatenate([self._closed, accounts.astype(np.int32)])
        self.state["rung"][accounts] = np.maximum(self.state["rung"][accounts], RUNGS.index("verify"))
        self.state["acted"][accounts] = np.fmin(self.state["acted"][accounts], now)
        self._accounts.ban(accounts)

    def _review(self, now: float, days: float) -> int:
        """Spend the day's reviews on the largest clusters that still hold somebody; what waits too long is given up.

        A day's reviews are there from its beginning; of those left over, a part of one is kept.
        """
        day = int(now / 86_400.0 - days / 2)  # of the middle of the epoch that ends now
        if day > self._day:
            per_day = self.ladder.reviews_per_day
            self._budget, self._day = min(self._budget + per_day, float(np.ceil(per_day))), day
        patience = 86_400.0 * self.ladder.patience_days
        self._found = [f for f in self._found if not np.isinf(f.waits_until) or f.time + patience >= now]
        sizes = [self._size(found) if np.isinf(found.waits_until) else 0 for found in self._found]
        reviewed = 0
        for i in sorted(np.flatnonzero(sizes).tolist(), key=lambda i: -sizes[i]):
            if self._budget < 1:
                break
            self._budget -= 1
            reviewed += 1
            found = self._found[i]
            self._found[i] = found._replace(waits_until=max(now, found.time + 3600.0 * self.ladder.delay_hours))
        return reviewed

    def _move_up(self, accounts: NDArray[np.int32], now: float) -> None:
        live = np.unique(accounts[~self._accounts.banned[accounts]])
        step = np.minimum(self.state["alarms"][live], len(self.ladder.rungs) - 1)
        self.state["alarms"][live] += 1
        for number, rung in enumerate(self.ladder.rungs):
            self._apply(rung, live[step == number], now)

    def _apply(self, rung: str, accounts: NDArray[np.int32], now: float) -> None:
        live = accounts[~self._accounts.banned[accounts]]
        if not len(live):
            return
        state = self.state
        state["rung"][live] = np.maximum(state["rung"][live], RUNGS.index(rung))
        if rung != "log":
            state["acted"][live] = np.fmin(state["acted"][live], now)
        if rung == "verify":
            check = self.ladder.verification
            outcome = check.challenge(self._accounts, live, now, self._seed, state["checked"][live])
            state["checked"][live] += 1
            failed = live[outcome != CheckOutcome.PASSED]
            state["lost"][failed] = now
            self._accounts.ban(failed)
        elif rung == "throttle":
            state["throttled"][live] = True
        elif rung == "hide":
            state["hidden"][live] = True
        elif rung == "alter":
            state["altered"][live], state["hidden"][live] = True, False  # a trace that is missing would give it away
        elif rung in ("ban", "ban_cluster"):
            state["banned"][live] = now
            self._accounts.ban(live)


def _ids(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.flatnonzero(mask).astype(np.int32)
