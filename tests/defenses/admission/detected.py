"""Past and present traffic for every detector in ``configs/defense``: honest accounts and a crude attack, as lab cells have
them but with networks and means of payment, and detectors small enough to be fitted on it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from defenses.base import Traffic
from experiments.stages.past_traffic import red_team_traffic
from experiments.stages.prompts import draw
from lm.ragged import Ragged
from tasks.mini import MiniTask
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.schema import Prompts, Requests

REQUESTS, MAX_TOKENS = 8_000, 64
HONEST, ATTACKERS = 200, 40
HOUSEHOLD = 5
ASKED = 11
"""Prompts that the crude attack asks: one more than PRADA has cells, so that some cell holds two at any distance."""

COLUMNS = ("time", "account", "prompt", "input_tokens", "seed", "network")
"""Of requests."""

WINDOW = {"window": 20, "reference": 400, "draws": 200}
SMALLER = {
    "mmd_window": {**WINDOW, "landmarks": 64, "features": 32},
    "prada": WINDOW,
    "seat": WINDOW,
    "hoda": WINDOW,
    "behaviour": {"false_alarms": 0.02, "trees": 10, "folds": 2, "least_requests": 10},
}
"""Fields of detectors whose YAML asks for more past traffic than there is here."""


def smaller(name, detector):
    return replace(detector, **SMALLER.get(name, {}))


def infrastructure(traffic, seed, genuine=None):
    """The same requests from accounts that share networks: honest ones by household."""
    count = len(traffic.accounts)
    table, rng = Accounts(), np.random.default_rng(seed)
    home = np.arange(count) // HOUSEHOLD
    table.open(
        count,
        created=-DAY * rng.uniform(0, 300, count),
        payment=np.arange(count),
        fingerprint=rng.integers(0, 30, count),
        network=home,
        genuine=traffic.accounts.genuine if genuine is None else genuine,
    )
    requests = replace(traffic.requests, network=home[traffic.requests.account].astype(np.int32))
    return Traffic(requests, traffic.prompts, table, answered(len(requests), seed))


def answered(count, seed):
    """Lengths of answers that vary, which those of a cell at admission do not."""
    return np.random.default_rng(seed).integers(4, MAX_TOKENS, count).astype(np.int32)


def ordinary(count, seed):
    """A week of honest accounts that ask anything at any time, a few of them more than the others: no population as it is
    served, but one in which a crude attack stands out."""
    rng = np.random.default_rng(seed)
    items = draw(MiniTask(), "provider", dict.fromkeys(MiniTask().families, 500), seed)
    weight = rng.lognormal(0.0, 1.0, HONEST)
    account = np.sort(rng.choice(HONEST, count, p=weight / weight.sum())).astype(np.int32)
    time = rng.uniform(0, 7 * DAY, count)
    time = time[np.lexsort((time, account))]
    asked = rng.integers(0, len(items), count)
    requests = Requests(time, account, asked, np.full(count, 16, np.int32), np.zeros(count, np.int64))
    table = Accounts()
    table.open(HONEST)
    prompts = Prompts([item.prompt for item in items], Ragged.of([]))
    return Traffic(requests, prompts, table, answered(count, seed))


@cache
def benign():
    return infrastructure(ordinary(REQUESTS, 1), 1)


@cache
def red_team():
    return infrastructure(red_team_traffic(MiniTask(), REQUESTS, MAX_TOKENS, 2), 2)


@cache
def present():
    """A week of honest requests, and in its last hours forty accounts that ask the same few things at the same minutes, from
    two networks, with one card, and get short answers; all in order of time."""
    honest = infrastructure(ordinary(REQUESTS // 2, 3), 3)
    each = 60
    who = np.tile(np.arange(ATTACKERS), each)
    start = float(honest.requests.time.max()) - 3 * 3600.0
    sent = Requests(
        start + np.repeat(np.arange(each) * 120.0, ATTACKERS) + who * 0.5,
        (HONEST + who).astype(np.int32),
        np.repeat(np.arange(each) % ASKED, ATTACKERS).astype(np.int64),
        np.full(len(who), 16, np.int32),
        np.zeros(len(who), np.int64),
        (900 + who % 2).astype(np.int32),
    )
    accounts = honest.accounts
    accounts.open(
        ATTACKERS,
        created=start,
        payment=np.full(ATTACKERS, 10_000),
        fingerprint=np.full(ATTACKERS, 77),
        network=900 + np.arange(ATTACKERS) % 2,
        genuine=False,
    )
    tokens = np.concatenate([honest.output_tokens, np.full(len(who), 5, np.int32)])
    columns = (np.concatenate([getattr(honest.requests, n), getattr(sent, n)]) for n in COLUMNS)
    requests = Requests(*columns)
    order = np.argsort(requests.time, kind="stable")
    return Traffic(requests.take(order), honest.prompts, accounts, tokens[order])


def flipped(traffic):
    """The same with identities exchanged, which nobody but an identity check may see."""
    accounts = Accounts()
    vars(accounts).update({name: column.copy() for name, column in vars(traffic.accounts).items()})
    accounts.genuine = ~accounts.genuine
    return traffic._replace(accounts=accounts)
