"""The legitimate population: who has an account, how much and when they send, what they ask, from where.

Rates, gaps and lengths follow the fits of public traces in ``data/population.csv``; shares of workloads and the hard
negatives are proposals (source I in the data). Knows nothing of attacks.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from experiments.campaign.config import figures
from experiments.campaign.config.population import Population
from experiments.campaign.world.hard_negatives import HARD_NEGATIVES, HardNegative
from experiments.campaign.world.homes import homes
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.traffic import GAMMA, PERIODIC, WEIBULL, PromptLists, Senders, keys

ZONES, AMPLITUDES = 24, 4
CLIENTS = 2_000
"""Kinds of client software, of Zipf popularity."""
KNOWN_DAYS = 30.0
"""Accounts older than this at the start are known to the provider, and count as verified."""
GROUP = {"chat_small": "chat", "chat_mid": "chat", "chat_large": "chat"}
"""Library group of a workload, where it has another name."""


class Shelf(Protocol):
    """Where prompts come from: `experiments.campaign.world.library.Library`, or the tasks of a lab cell."""

    def rows(self, group: str) -> NDArray[np.int32]:
        """Rows of the prompts of a group."""
        ...


class Drawn(NamedTuple):
    """A population, not yet registered with a provider.

    Args:
        senders: what they send; lists are numbered in the `PromptLists` that were given.
        kind: (A,) row of ``kinds``.
        kinds: names of workloads, then of hard negatives.
        hard: (A,) bool.
        organisation: (A,) int32, equal ones next to each other.
        payment: (A,) int32.
        fingerprint: (A,) int32.
        created: (A,) float64 virtual seconds, before 0 for accounts that were there.
        spend: (A,) float64 dollars billed before the start.
    """

    senders: Senders
    kind: NDArray[np.int16]
    kinds: tuple[str, ...]
    hard: NDArray[np.bool_]
    organisation: NDArray[np.int32]
    payment: NDArray[np.int32]
    fingerprint: NDArray[np.int32]
    created: NDArray[np.float64]
    spend: NDArray[np.float64]

    def register(self, accounts: Accounts, lot: NDArray[np.int64] | None = None) -> NDArray[np.int32]:
        """Open these accounts, in organisations and with means of payment that nobody has there; their ids.

        Args:
            accounts: the provider's.
            lot: see `Accounts.open`.
        """
        first = np.concatenate([[0], np.cumsum(self.senders.networks)[:-1]])
        ids = accounts.open(
            len(self.senders),
            self.created,
            self.organisation + accounts.organisation.max(initial=-1) + 1,
            payment=self.payment + accounts.payment.max(initial=-1) + 1,
            fingerprint=self.fingerprint,
            network=self.senders.network[first],
            lot=lot,
        )
        accounts.spend[ids] = self.spend
        accounts.verified_until[ids[self.created < -KNOWN_DAYS * DAY]] = np.inf
        return ids


def profiles(population: Population) -> NDArray[np.float64]:
    """(ZONES·AMPLITUDES + 1, 24) hourly intensities: sinusoids by time zone and peak-to-trough ratio; the last is flat."""
    ratios = np.geomspace(population.trough[0], population.trough[1], AMPLITUDES)
    swing = (ratios - 1) / (ratios + 1)
    hours = np.arange(24)
    shape = np.cos(2 * np.pi * (hours[None] - np.arange(ZONES)[:, None]) / 24)
    rows = 1 + swing[None, :, None] * shape[:, None, :]
    return np.concatenate([rows.reshape(-1, 24), np.ones((1, 24))])


def draw(population: Population, library: Shelf, lists: PromptLists, days: float, price: float, seed: int) -> Drawn:
    """A population.

    Args:
        population: its configuration.
        library: prompts by workload.
        lists: the workloads' prompts are added to it, and each account's own topics.
        days: length of the campaign, for accounts opened in its course.
        price: mean dollars per request, for what was spent before.
        seed: of everything drawn.
    """
    rng = np.random.default_rng(seed)
    n = population.accounts
    names = tuple(population.workloads)
    kinds = (*names, *(h.name for h in HARD_NEGATIVES))
    share = np.array(list(population.workloads.values()), np.float64)
    kind = rng.choice(len(names), n, p=share / share.sum()).astype(np.int16)
    hard = rng.random(n) < population.hard_negatives
    kind[hard] = len(names) + rng.integers(0, len(HARD_NEGATIVES), int(hard.sum()))
    fitted = [figures.workload(name) for name in names] + [figures.workload(h.like) for h in HARD_NEGATIVES]
    special = [None] * len(names) + list(HARD_NEGATIVES)

    rate = _rates(kind, fitted, special, rng)
    rate *= population.requests_per_day / rate.mean()
    gap, shape = _gaps(kind, fitted, rng)
    flat = ZONES * AMPLITUDES
    profile = rng.integers(0, flat, n).astype(np.int16)
    beat = _beats(rate, rng)
    gap[~hard & (rng.random(n) < population.periodic)] = PERIODIC
    for number, one in enumerate(special):
        if one is None:
            continue
        rows = np.flatnonzero(kind == number)
        if one.flat:
            profile[rows] = flat
        if one.shape:
            gap[rows], shape[rows] = GAMMA, one.shape
        if one.period_days:
            gap[rows] = PERIODIC
            phase = 0.0 if one.together else rng.uniform(0, one.period_days * DAY, len(rows))
            beat[rows] = _schedule(rate[rows], one.period_days * DAY, phase, one.spacing, 600.0)

    opened = (
        np.where(rng.random(n) < population.new, rng.uniform(0, days, n), -rng.uniform(0, population.age_days, n)) * DAY
    )
    order = np.arange(n)
    organisation = _organisations(n, population.organisations, rng)
    parts = _topics(kind, names, special, population, library, lists, fitted, rng)
    networks = homes(kind, special, rng)
    payment = np.where(rng.random(n) < 0.9, organisation + n, order + 2 * n).astype(np.int32)
    fingerprint = (CLIENTS * rng.random(n) ** 3).astype(np.int32)
    senders = Senders(
        rate=rate,
        kind=gap,
        shape=shape,
        profile=profile,
        start=np.maximum(opened, 0.0),
        ends=np.full(n, np.inf),
        beat=beat,
        parts=parts.parts,
        part_share=parts.share,
        part_list=parts.listed,
        networks=networks.networks,
        network=networks.number,
        dwell=networks.dwell,
        key=keys(int(rng.integers(2**63)), n),
    )
    spend = np.maximum(-opened, 0.0) / DAY * rate * price
    return Drawn(senders, kind, kinds, hard, organisation, payment, fingerprint, opened, spend)


def _rates(
    kind: NDArray[np.int16],
    fitted: list[dict[str, float]],
    special: list[HardNegative | None],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(A,) lognormal, each kind with its own σ, scaled to the same mean; hard negatives send more."""
    sigma = np.array([row["rate_lognormal_sigma"] for row in fitted])
    more = np.array([1.0 if one is None else one.busier for one in special])
    own = sigma[kind]
    return np.asarray(more[kind] * np.exp(own * rng.standard_normal(len(kind)) - own**2 / 2), np.float64)


def _gaps(
    kind: NDArray[np.int16], fitted: list[dict[str, float]], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(A,) which distribution gaps have, and its shape: lognormal through the fitted quartiles of each kind."""
    gap, shape = np.zeros(len(kind), np.uint8), np.ones(len(kind))
    gamma = rng.random(len(kind)) < np.array([row["gamma_share"] for row in fitted])[kind]
    gap[~gamma] = WEIBULL
    place = rng.uniform(0.02, 0.98, len(kind))
    for number, row in enumerate(fitted):
        for family, chosen in (("gamma", gamma), ("weibull", ~gamma)):
            rows = np.flatnonzero((kind == number) & chosen)
            quartiles = np.log([row[f"{family}_shape_p{q}"] for q in (25, 50, 75)])
            shape[rows] = np.exp(np.interp(ndtri(place[rows]), *_through(quartiles)))
    return gap, shape


def _through(quartiles: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A line through three quartiles on normal paper, carried on beyond them with the slopes it has there."""
    z = np.asarray(ndtri([0.25, 0.5, 0.75]), np.float64)
    below, above = (quartiles[1] - quartiles[0]) / (z[1] - z[0]), (quartiles[2] - quartiles[1]) / (z[2] - z[1])
    ends = 2.5
    values = [quartiles[0] - below * (z[0] + ends), *quartiles, quartiles[2] + above * (ends - z[2])]
    return np.array([-ends, *z, ends]), np.array(values)


def _beats(rate: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """(A, 5) schedules: hourly, six-hourly, daily, or as rarely as there is one request to send."""
    n = len(rate)
    period = np.maximum(rng.choice([3600.0, 6 * 3600.0, DAY], n), DAY / rate)
    phase = rng.uniform(0, period)
    return _schedule(rate, period, phase, rng.choice([0.5, 2.0, 10.0], n), rng.choice([0.0, 30.0, 300.0], n))


def _schedule(
    rate: NDArray[np.float64],
    period: float | NDArray[np.float64],
    phase: float | NDArray[np.float64],
    spacing: float | NDArray[np.float64],
    jitter: float | NDArray[np.float64],
) -> NDArray[np.float32]:
    """(A, 5) as `Senders.beat`: bursts of what is sent in a period, close enough to take half of it at most."""
    burst = rate * period / DAY
    columns = (period, phase, burst, np.minimum(spacing, 0.5 * period / burst), jitter)
    return np.stack([np.broadcast_to(column, rate.shape) for column in columns], 1).astype(np.float32)


def _organisations(n: int, share: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """(A,) organisation of each account: the first ``share`` of the accounts sit in organisations of 2 to 20."""
    sizes = rng.integers(2, 21, max(int(share * n / 2), 1))
    together = sizes[: np.searchsorted(np.cumsum(sizes), share * n)]
    alone = n - int(together.sum())
    return np.repeat(np.arange(len(together) + alone), [*together, *np.ones(alone, np.int64)]).astype(np.int32)


class _Parts(NamedTuple):
    parts: NDArray[np.int64]
    share: NDArray[np.float64]
    listed: NDArray[np.int32]


def _topics(
    kind: NDArray[np.int16],
    names: tuple[str, ...],
    special: list[HardNegative | None],
    population: Population,
    library: Shelf,
    lists: PromptLists,
    fitted: list[dict[str, float]],
    rng: np.random.Generator,
) -> _Parts:
    """What each account asks: a share on topics of its own, the rest from all of its workload; two parts an account."""
    n = len(kind)
    listed = np.zeros((n, 2), np.int32)
    share = np.zeros((n, 2))
    own = rng.beta(4 * population.own_topics, 4 * (1 - population.own_topics), n)
    breadth = np.clip(np.exp(rng.normal(np.log(population.topics), 1.0, n)), 3, 400).astype(np.int64)
    for number in range(len(fitted)):
        rows, one = np.flatnonzero(kind == number), special[number]
        if not len(rows):
            continue
        groups = (GROUP.get(names[number], names[number]),) if one is None else one.groups
        pool = np.concatenate([library.rows(group) for group in groups])
        row = fitted[number]
        lengths = (row["input_ln_mu"], row["input_ln_sigma"], row["output_ln_mu"], row["output_ln_sigma"])
        if one is not None:
            own[rows], breadth[rows] = one.own, one.breadth
        listed[rows, 1] = lists.add(pool, lengths)
        topics = pool[rng.integers(0, len(pool), int(breadth[rows].sum()))]
        listed[rows, 0] = lists.add_many(topics, breadth[rows], lengths, skew=1.5)
    share[:, 0], share[:, 1] = own, 1 - own
    return _Parts(np.full(n, 2), share.ravel(), listed.ravel())
