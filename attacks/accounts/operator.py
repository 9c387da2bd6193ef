"""An operation at work: opens accounts, tells them how much to send, replaces what is lost, moves to where they live longer.

It sees what an attacker sees: which accounts still answer, how many exchanges came through, what it paid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.accounts.evasion import Arm, Evasion
from attacks.accounts.operation import Operation
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.traffic import GAMMA, PERIODIC, PromptLists, Senders, Streams, keys

ACTIVE, STANDBY, LOST = 0, 1, 2


class Market(NamedTuple):
    """A provider as an operation meets it.

    Args:
        accounts: where accounts are opened.
        streams: what the attackers' accounts there send; its row r is account ``first + r``.
        first: id of the first attacker's account.
        payments: number from which attackers' means of payment are counted.
    """

    accounts: Accounts
    streams: Streams
    first: int
    payments: int


class Surroundings(NamedTuple):
    """What an operation finds in the world.

    Args:
        markets: providers, the one it goes to first in front.
        lists: of prompts; it adds its own.
        wordings: ``wordings(capability)`` gives the library's rows that ask for it, those of each wording in an array; the
            first wordings come with the most different questions.
        lengths: ``lengths(capability)`` of such requests, see `PromptLists.add`.
        customers: lists of unrelated customers' prompts.
        own_networks: networks that only this operation uses.
        shared_networks: networks that all operations can use.
        diurnal: rows of daily profiles that people have.
        flat: row of the profile without day and night.
        release_days: days on which models are released.
    """

    markets: Sequence[Market]
    lists: PromptLists
    wordings: Callable[[str], Sequence[NDArray[np.int32]]]
    lengths: Callable[[str], tuple[float, float, float, float]]
    customers: NDArray[np.int32]
    own_networks: NDArray[np.int32]
    shared_networks: NDArray[np.int32]
    diurnal: NDArray[np.int16]
    flat: int
    release_days: tuple[float, ...]


class Operator:
    """An operation in one world.

    Args:
        operation: what it wants.
        number: of the operation, distinct from those of the others.
        around: the world.
        rng: explicit.

    Attributes:
        capability_of: list number -> capability, for the lists that are asked for distillation.
        opened, identities, account_days: counts that cost money.
    """

    def __init__(self, operation: Operation, number: int, around: Surroundings, rng: np.random.Generator) -> None:
        self.operation, self.number, self._around, self._rng = operation, number, around, rng
        self.capability_of: dict[int, str] = {}
        self.obtained = 0
        self.opened = self.identities = 0
        self.account_days = 0.0
        self._evasion = Evasion(operation, len(around.markets), rng)
        self._lists: dict[tuple[str, int, bool], int] = {}
        self._mix = operation.mix()
        self._wordings = {c: _in_own_order(around.wordings(c), rng) for c in self._mix}
        self._provider = np.zeros(0, np.int8)
        self._row = np.zeros(0, np.int32)
        self._arm = np.zeros(0, np.int16)
        self._status = np.zeros(0, np.int8)
        self._start = np.zeros(0)
        self._second = np.zeros(0, np.bool_)
        self._standby_called = operation.standby == 0
        begin = operation.start_day * DAY
        lead = rng.uniform(0, operation.lead_days * DAY, operation.accounts)
        self._open(np.zeros(operation.accounts, np.int64), begin - lead, np.full(operation.accounts, begin), False)
        if operation.standby:
            at, created = np.zeros(operation.standby, np.int64), np.full(operation.standby, begin)
            self._open(at, created, np.full(operation.standby, np.inf), True)
            self._status[self._second] = STANDBY

    @property
    def end(self) -> float:
        """Virtual second at which it is over."""
        return (self.operation.start_day + self.operation.days) * DAY

    def ids(self, provider: int) -> NDArray[np.int32]:
        """Ids of all accounts that it ever opened at a provider."""
        first = self._around.markets[provider].first
        return np.asarray(self._row[self._provider == provider] + first, np.int32)

    def plan(self, now: float, until: float) -> None:
        """Before an epoch: call the standby pool if it is time, and spread what is still wanted over the accounts."""
        if now >= self.end:
            self._rest(now)
            return
        self._call_standby(now)
        use = (self._status == ACTIVE) & (self._start < until)
        wanted = max(self.operation.exchanges - self.obtained, 0)
        if not wanted:
            self._rest(now)
            return
        if not use.any():
            return
        share = np.array([arm.share for arm in self._evasion.arms])[self._arm[use]]
        pace = self._demand(now, until, wanted) / share.sum()
        rate = np.full(int(use.sum()), min(pace, self.operation.most_pace))
        for p, market in enumerate(self._around.markets):
            here = self._provider[use] == p
            if here.any():
                market.streams.set_rate(self._row[use][here], rate[here], now)

    def _demand(self, now: float, until: float, wanted: float) -> float:
        """Exchanges a day in this epoch: what is left over the time that is left, more right after a release."""
        releases = np.array(self._around.release_days) * DAY
        begun, until = max(now, self.operation.start_day * DAY), min(until, self.end)

        def weight(stop: float) -> float:
            after_release = np.maximum(np.minimum(stop, releases + DAY) - np.maximum(begun, releases), 0.0)
            return (stop - begun + self.operation.pivot * float(after_release.sum())) / DAY

        return wanted * weight(until) / weight(self.end) / ((until - begun) / DAY)

    def _rest(self, now: float) -> None:
        for p, market in enumerate(self._around.markets):
            market.streams.stop(self._row[self._provider == p], now)

    def _call_standby(self, now: float) -> None:
        if self._standby_called or now < self.operation.start_day * DAY:
            return
        first = self._status[: self.operation.accounts]
        if (first == LOST).mean() >= self.operation.standby_after:
            self._standby_called = True
            waiting = self._status == STANDBY
            self._status[waiting], self._start[waiting] = ACTIVE, now
            for p, market in enumerate(self._around.markets):
                market.streams.start(self._row[waiting & (self._provider == p)], now)

    def look(self, now: float, days: float, obtained: int, requests: int) -> None:
        """After an epoch: count what came through, find accounts that are gone, learn, replace.

        Args:
            now: virtual seconds.
            days: length of the epoch.
            obtained: exchanges for distillation that came through and look whole.
            requests: all its requests of the epoch.
        """
        self.obtained += obtained
        used = (self._status == ACTIVE) & (self._start < now)
        self.account_days += days * int(used.sum() + (self._status == STANDBY).sum())
        gone = np.zeros(len(self._row), np.bool_)
        for p, market in enumerate(self._around.markets):
            here = self._provider == p
            gone[here] = market.accounts.banned[self._row[here] + market.first]
        new = gone & (self._status != LOST)
        self._evasion.learn(self._arm[used], new[used], days, requests)
        self._status[new] = LOST
        for p, market in enumerate(self._around.markets):
            market.streams.stop(self._row[new & (self._provider == p)], now)
        self._replace(np.flatnonzero(new & used), now)

    def _replace(self, lost: NDArray[np.int64], now: float) -> None:
        operation = self.operation
        room = operation.most_accounts - len(self._row) if operation.most_accounts else len(lost)
        if operation.replacement_hours is None or now >= self.end or self.obtained >= operation.exchanges:
            return
        ready = now + 3600.0 * operation.replacement_hours * self._rng.lognormal(0.0, 1.0, len(lost))
        in_time = np.flatnonzero(ready < self.end)[: max(room, 0)]
        lost, ready = lost[in_time], ready[in_time]
        for second in (False, True):
            of_pool = self._second[lost] == second
            if of_pool.any():
                at = self._provider[lost[of_pool]].astype(np.int64)
                self._open(at, ready[of_pool], ready[of_pool], second, replaces=True)

    def _open(
        self,
        at: NDArray[np.int64],
        created: NDArray[np.float64],
        start: NDArray[np.float64],
        second: bool,
        replaces: bool = False,
    ) -> None:
        """Open accounts of the first or the second pool, each at a provider ``at`` unless it is displaced, and make them
        senders."""
        now = float(np.where(np.isfinite(start), start, self.operation.start_day * DAY).min())
        arm = self._evasion.choose(len(at), at, (self.end - now) / DAY, replaces)
        provider = np.array([a.provider for a in self._evasion.arms])[arm]
        rows = np.zeros(len(at), np.int32)
        for p in range(len(self._around.markets)):
            here = np.flatnonzero(provider == p)
            if len(here):
                rows[here] = self._sign_up(p, arm[here], created[here], start[here], second)
        self._provider = np.concatenate([self._provider, provider.astype(np.int8)])
        self._row = np.concatenate([self._row, rows])
        self._arm = np.concatenate([self._arm, arm.astype(np.int16)])
        self._status = np.concatenate([self._status, np.full(len(at), ACTIVE, np.int8)])
        self._second = np.concatenate([self._second, np.full(len(at), second)])
        self._start = np.concatenate([self._start, start])
        self.opened += len(at)

    def _sign_up(
        self, p: int, arm: NDArray[np.int64], created: NDArray[np.float64], start: NDArray[np.float64], second: bool
    ) -> NDArray[np.int32]:
        operation, around, rng = self.operation, self._around, self._rng
        market, n = around.markets[p], len(arm)
        arms = [self._evasion.arms[a] for a in arm]
        scheduled = np.array([a.pacing == "scheduler" for a in arms])
        people = np.array([a.pacing == "diurnal" for a in arms])
        profile = np.where(people, rng.choice(around.diurnal, n), around.flat).astype(np.int16)
        rate = np.full(n, operation.planned_pace)
        beat = np.zeros((n, 5), np.float32)
        beat[:, 0], beat[:, 3], beat[:, 4] = operation.period_hours * 3600.0, 1.0, operation.jitter
        beat[:, 2] = rate * beat[:, 0] / DAY
        part_share, part_list, parts = self._parts(arms, second)
        networks = self._proxies(n, second)
        rows = market.streams.add(
            Senders(
                rate=rate,
                kind=np.where(scheduled, PERIODIC, GAMMA).astype(np.uint8),
                shape=np.where(people, 0.8, 1.0),
                profile=profile,
                start=start,
                ends=np.full(n, self.end),
                beat=beat,
                parts=parts,
                part_share=part_share,
                part_list=part_list,
                networks=np.full(n, operation.networks_per_account),
                network=networks.ravel().astype(np.int32),
                dwell=np.zeros(n),
                key=keys(int(rng.integers(2**63)), n),
            )
        )
        cards = market.payments + self.number * 10_000_000 + (5_000_000 if second else 0)
        market.accounts.open(
            n,
            created,
            payment=cards + (self.opened + np.arange(n)) // operation.accounts_per_card,
            fingerprint=(1 + 2 * self.number + second) * 1_000_000 + rng.integers(0, operation.clients, n),
            network=networks[:, 0],
            genuine=False,
        )
        return rows

    def _of_pool(self, things: NDArray[np.int32], second: bool) -> NDArray[np.int32]:
        """All of them, or where there are two pools the half that is this one's."""
        half = len(things) // 2 if self.operation.standby else len(things)
        return things[half:] if second else things[:half]

    def _proxies(self, n: int, second: bool) -> NDArray[np.int32]:
        """(n, networks_per_account) of accounts that are set up in batches, some on proxies that others use too."""
        operation, rng = self.operation, self._rng
        batches = -(-n // operation.batch)
        shared = rng.random(batches) < operation.shared_proxies
        place = rng.random((batches, operation.networks_per_batch))
        own, common = (
            self._of_pool(all_, second) for all_ in (self._around.own_networks, self._around.shared_networks)
        )
        of_batch = np.where(
            shared[:, None], common[(place * len(common)).astype(int)], own[(place * len(own)).astype(int)]
        )
        batch = np.arange(n) // operation.batch
        pick = rng.integers(0, operation.networks_per_batch, (n, operation.networks_per_account))
        return np.asarray(of_batch[batch[:, None], pick], np.int32)

    def _parts(
        self, arms: Sequence[Arm], second: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]:
        """Shares, lists and their number for accounts with these arms."""
        shares, lists, counts = [], [], []
        customers = self._around.customers
        for arm in arms:
            distil = [arm.share * s for s in self._mix.values()]
            others = [(1 - arm.share) / len(customers)] * len(customers) if arm.share < 1 else []
            shares += distil + others
            lists += [self._list(c, arm.templates, second) for c in self._mix] + ([*customers] if others else [])
            counts.append(len(distil) + len(others))
        return np.array(shares), np.array(lists, np.int32), np.array(counts, np.int64)

    def _list(self, capability: str, templates: int, second: bool) -> int:
        """The list of these many wordings, as far as the pool has so many."""
        key = (capability, templates, second)
        if key not in self._lists:
            every = self._wordings[capability]
            of_pool = every[int(second) :: 2] if self.operation.standby else every
            rows = np.concatenate(of_pool[:templates])
            self._lists[key] = self._around.lists.add(rows, self._around.lengths(capability))
            self.capability_of[self._lists[key]] = capability
        return self._lists[key]

    def dollars(self, tokens: float) -> dict[str, float]:
        """What was paid so far.

        Args:
            tokens: list price of its own requests' tokens; unrelated customers pay for theirs.
        """
        costs = self.operation.costs
        return {
            "tokens": costs.token_factor * tokens,
            "accounts": self.opened * (costs.sms + costs.card),
            "proxies": self.account_days / 30.0 * costs.proxy_month,
            "identities": self.identities * costs.identity,
        }


RICH = 20
"""Wordings with several questions each, which an operation that uses few of them takes first."""


def _in_own_order(wordings: Sequence[NDArray[np.int32]], rng: np.random.Generator) -> list[NDArray[np.int32]]:
    """Wordings in an order that is the operation's own."""
    order = [*rng.permutation(min(RICH, len(wordings))), *(RICH + rng.permutation(max(len(wordings) - RICH, 0)))]
    return [wordings[int(place)] for place in order]
