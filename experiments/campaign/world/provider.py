"""One provider in a campaign: its accounts, what they send, what it lets through, whom it suspects, what it does about it.

It treats attackers' and honest accounts alike; which is which is used only to count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from defenses.admission.detector import Suspicion
from defenses.base import Prepared
from experiments.campaign.config.policy import Policy
from experiments.campaign.world import tally
from experiments.campaign.world.climb import Acted, Climb, Found
from experiments.campaign.world.columns import Columns
from experiments.campaign.world.daily_ledger import DailyLedger
from experiments.campaign.world.people import Drawn
from teacher.api.accounts import Accounts
from teacher.api.admission import Admission
from teacher.api.clock import DAY, VirtualClock
from teacher.api.prices import Prices
from teacher.api.schema import FORBIDDEN, RATE_LIMITED, Prompts, Requests, Verdicts
from teacher.api.traffic import PromptLists, Sent, Streams

PAYMENTS = 1_000_000_000
"""Numbers of attackers' means of payment begin here."""
_TALLIED = ("served", "refused", "blocked", "altered", "hidden")
"""In the order of `tally.outcomes`."""
COUNTED = ("requests", *_TALLIED)


class Watched(NamedTuple):
    """An epoch's requests with what became of them.

    Args:
        requests: B, by organisation, then time.
        output_tokens: (B,) int32 of a full answer.
        listed: (B,) int32 list each prompt was drawn from.
        served, refused, blocked: (B,) bool; each request is one of the three.
        hidden, altered: (B,) bool, of the served ones; none is both.
        dollars: (B,) list price of the served ones, 0 for the others.
    """

    requests: Requests
    output_tokens: NDArray[np.int32]
    listed: NDArray[np.int32]
    served: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    blocked: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    altered: NDArray[np.bool_]
    dollars: NDArray[np.float64]


class Provider:
    """A provider.

    Args:
        name: of the provider.
        policy: what it does.
        population: its honest accounts.
        profiles: daily profiles of all accounts.
        lists: prompts, shared with everybody.
        prompts: the library.
        prices: list prices.
        prepared: by detector or defense, what it was fitted to.
        seed: of its own draws.
        threads: that draw traffic at a time.

    Attributes:
        honest: how many accounts are honest; ids from there on are attackers'.
        memory: what has been worked out about the prompts.
        books: a row an account, see `COUNTED`, with ``distil_usable`` and ``dollars``.
        scores, alarms: by detector, (A,) highest score so far (NaN where never judged) and whether it ever raised an alarm.
        clusters: every group found, with the detector's name and the day.
    """

    def __init__(
        self,
        name: str,
        policy: Policy,
        population: Drawn,
        profiles: NDArray[np.float64],
        lists: PromptLists,
        prompts: Prompts,
        prices: Prices,
        prepared: Mapping[str, Prepared],
        seed: int,
        threads: int,
    ) -> None:
        self.name, self.policy, self.population, self.prompts, self.prices = name, policy, population, prompts, prices
        self.memory: dict[str, Any] = {}
        self._threads = threads
        self.accounts = Accounts()
        population.register(self.accounts)
        self.honest = len(self.accounts)
        self.honest_streams = Streams(profiles, lists, threads)
        self.honest_streams.add(population.senders)
        self.attack_streams = Streams(profiles, lists, threads)
        everything = {**policy.admission, **policy.detectors}
        self.admission = Admission(
            policy.admission, self.accounts, prices, VirtualClock(), DailyLedger(), seed, prepared
        )
        self._watching = Admission(everything, self.accounts, prices, VirtualClock(), DailyLedger(), seed, prepared)
        self.climb = Climb(policy.ladder, self.accounts, seed)
        self.books = Columns({**dict.fromkeys((*COUNTED, "distil_usable"), np.int64(0)), "dollars": np.float64(0)})
        self.scores = Columns(dict.fromkeys(policy.detectors, np.float64(np.nan)))
        self.alarms = Columns(dict.fromkeys(policy.detectors, False))
        self.clusters: list[tuple[str, float, Found]] = []
        self.edges: dict[str, NDArray[Any]] = {}
        self._largest = 0
        self._acted: set[int] = set()
        self.asked_identity = np.zeros(0, np.int32)
        self._throttled_today = np.zeros(0, np.int64)
        self._day = -1
        self._examine_at = {name: 3600.0 * d.every_hours for name, d in policy.detectors.items()}

    def serve(self, end: float) -> Watched:
        """All requests before ``end``, judged and counted."""
        self._grow()
        pieces = [*self.honest_streams.parts(end), *self.attack_streams.parts(end, self.honest)]
        sent = Sent.concat(pieces, self._threads)
        _sort_within_organisations(sent, self.accounts.organisation)
        seeds = np.broadcast_to(np.int64(0), len(sent.time))
        requests = Requests(sent.time, sent.account, sent.prompt, sent.input_tokens, seeds, sent.network)  # type: ignore[arg-type]
        over = self._over_throttle(requests)
        rows = None if over is None else np.flatnonzero(~over)
        asked = requests if rows is None else requests.take(rows)
        tokens = sent.output_tokens if rows is None else sent.output_tokens[rows]
        verified = self.accounts.verified_until.copy()
        verdicts = self.admission.judge(asked, self.prompts, tokens)
        status = verdicts.status
        if rows is not None:
            status = np.full(len(requests), RATE_LIMITED, np.int16)
            status[rows] = verdicts.status
        self._close_unverified(asked.account, verdicts, verified, end)
        return self._counted(requests, sent, status)

    def watch(self, seen: Watched, now: float) -> NDArray[np.int32]:
        """Let the detectors see what was answered, and examine those whose time has come; accounts with an alarm."""
        if not self.policy.detectors:
            return np.zeros(0, np.int32)
        rows = None if seen.served.all() else np.flatnonzero(seen.served)
        requests = seen.requests if rows is None else seen.requests.take(rows)
        tokens = seen.output_tokens if rows is None else seen.output_tokens[rows]
        alarms = [np.zeros(0, np.int32)]
        for name, detector in self.policy.detectors.items():
            state = self._watching.state(name, self.prompts, tokens)
            detector.watch(requests, tokens, state)
            if now + 1e-6 < self._examine_at[name]:
                continue
            self._examine_at[name] = now + 3600.0 * detector.every_hours
            found = _live(detector.examine(state, now), self.accounts.banned)
            self._note(name, found)
            clusters = self.climb.suspect(found, now, len(self.clusters))
            self.clusters += [(name, now, cluster) for cluster in clusters]
            self._picture(state.memory, clusters)
            alarms.append(found.account[found.alarm])
        return np.unique(np.concatenate(alarms))

    @property
    def acted_clusters(self) -> set[int]:
        """Rows of the clusters that were acted upon."""
        return self._acted

    def act(self, now: float, days: float) -> Acted:
        """Do what is due, at the end of an epoch."""
        acted = self.climb.act(now, days)
        acted = acted._replace(challenged=np.concatenate([acted.challenged, self.asked_identity]))
        self._acted |= {found.row for found in acted.clusters}
        return acted

    def _grow(self) -> None:
        for columns in (self.climb.state, self.books, self.scores, self.alarms):
            columns.grow(len(self.accounts))

    def _counted(self, requests: Requests, sent: Sent, status: NDArray[np.int16]) -> Watched:
        """What became of the requests, added to the books."""
        count, size = len(status), len(self.accounts)
        fate, dollars = np.empty((tally.COLUMNS, count), np.bool_), np.empty(count)
        counts, spent = np.zeros((tally.COLUMNS, size), np.int64), np.zeros(size)
        given = (requests.account, status, sent.input_tokens, sent.output_tokens)
        flags = (self.climb.state["hidden"], self.climb.state["altered"])
        prices = (float(self.prices.input), float(self.prices.output))
        tally.outcomes(*given, *flags, *prices, fate, dollars, counts, spent)
        for name, row in zip(_TALLIED, counts, strict=True):
            self.books[name][:] += row
        self.books["requests"][:] += counts[[tally.SERVED, tally.REFUSED, tally.BLOCKED]].sum(0)
        self.books["dollars"][:] += spent
        self.accounts.spend += spent
        fates = dict(zip(_TALLIED, fate, strict=True))
        return Watched(requests, sent.output_tokens, sent.listed, dollars=dollars, **fates)

    def _close_unverified(
        self, who: NDArray[np.int32], verdicts: Verdicts, verified: NDArray[np.float64], now: float
    ) -> None:
        """Accounts that admission has shut out for want of an identity are lost; note who was asked for one."""
        self.asked_identity = np.flatnonzero(self.accounts.verified_until != verified).astype(np.int32)
        rows = np.flatnonzero(verdicts.status == FORBIDDEN)
        if len(rows):
            lost = np.unique(who[rows[verdicts.reason[rows] == "verification_required"]])
            lost = lost[~self.accounts.banned[lost]]
            self.climb.close(lost, now)
            self.asked_identity = np.union1d(self.asked_identity, lost).astype(np.int32)

    def _over_throttle(self, requests: Requests) -> NDArray[np.bool_] | None:
        """(B,) which requests of throttled accounts are over their daily allowance; None where nobody is throttled."""
        throttled = self.climb.state["throttled"]
        if not throttled.any() or not len(requests):
            return None
        day = int(requests.time.min() // DAY)
        if day != self._day:
            self._day, self._throttled_today = day, np.zeros(len(self.accounts), np.int64)
        self._throttled_today = np.pad(self._throttled_today, (0, len(self.accounts) - len(self._throttled_today)))
        rows = np.flatnonzero(throttled[requests.account])
        who = requests.account[rows]
        order = np.argsort(who, kind="stable")
        counts = np.bincount(who, minlength=len(self.accounts))
        rank = np.empty(len(rows), np.int64)
        rank[order] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)[: len(rows)]
        allowed = self._throttled_today[who] + rank < self.policy.ladder.throttle_per_day
        self._throttled_today += np.bincount(who[allowed], minlength=len(self.accounts))
        over = np.zeros(len(requests), np.bool_)
        over[rows[~allowed]] = True
        return over

    def _note(self, name: str, found: Suspicion) -> None:
        self._grow()
        held = self.scores[name]
        held[found.account] = np.fmax(held[found.account], found.score)
        self.alarms[name][found.account[found.alarm]] = True

    def _picture(self, memory: Mapping[str, Any], clusters: list[Found]) -> None:
        size = max((len(c.members) for c in clusters), default=0)
        if size > self._largest and "links" in memory:
            self._largest, self.edges = size, memory["links"]._asdict()


def _sort_within_organisations(sent: Sent, organisation: NDArray[np.int32]) -> None:
    """Put rows that are by account, then time, in order of organisation, then time, in place. Accounts of an organisation
    stand next to each other, and those of organisations of several accounts all in one stretch or nearly so."""
    new = organisation[1:] != organisation[:-1]
    several = np.flatnonzero(~new)
    if not len(several) or not len(sent.time):
        return
    first, last = np.searchsorted(sent.account, [several[0], several[-1] + 2])
    number = np.concatenate([[0], np.cumsum(new)]).astype(np.int32)
    order = first + np.lexsort((sent.time[first:last], number[sent.account[first:last]]))
    for column in sent:
        column[first:last] = column[order]


def _live(found: Suspicion, banned: NDArray[np.bool_]) -> Suspicion:
    """What was found of accounts that are still there: alarms on the others would be counted twice."""
    keep = ~banned[found.account]
    return Suspicion(found.account[keep], found.score[keep], found.alarm[keep], found.cluster[keep])
