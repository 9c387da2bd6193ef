"""Made-up traffic on a sphere: prompts in clusters, honest accounts alike or each with its own clusters, and attackers."""

from __future__ import annotations

import numpy as np

from defenses.base import AdmissionState, Traffic
from lm.ragged import Ragged
from teacher.api.accounts import Accounts
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import Prompts, Requests


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def of(rows):
    """Prompts with these embeddings."""
    return Prompts([""] * len(rows), Ragged.of([]), embedding=np.asarray(rows, np.float32))


def sphere(clusters, each, d=24, spread=0.6, seed=0):
    """Prompts of ``clusters`` clusters, ``each`` in turn: row i is of cluster i // each."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(clusters, d)))
    points = unit(np.repeat(centres, each, 0) + spread / np.sqrt(d) * rng.normal(size=(clusters * each, d)))
    return of(points)


def asked(prompt, account=None, time=None):
    prompt = np.asarray(prompt, np.int64)
    n = len(prompt)
    account = np.zeros(n) if account is None else account
    return Requests(
        np.arange(n, dtype=np.float64) if time is None else np.asarray(time, np.float64),
        np.asarray(account, np.int32),
        prompt,
        np.full(n, 10, np.int32),
        np.zeros(n, np.int64),
    )


def open_accounts(count):
    table = Accounts()
    table.open(count)
    return table


def traffic(prompts, prompt, account, output_tokens=None):
    account = np.asarray(account)
    output = np.full(len(account), 50) if output_tokens is None else output_tokens
    return Traffic(
        asked(prompt, account), prompts, open_accounts(int(account.max()) + 1), np.asarray(output).astype(np.int32)
    )


def alike(prompts, count, accounts=50, rows=None, seed=1):
    """Honest traffic of accounts that all ask from the same prompts."""
    rng = np.random.default_rng(seed)
    rows = np.arange(len(prompts.texts)) if rows is None else rows
    return traffic(prompts, rng.choice(rows, count), np.sort(rng.integers(accounts, size=count)))


def each_its_own(clusters, each, accounts, count, own=3, seed=1):
    """(prompts, accounts) of honest traffic in which each account asks from ``own`` clusters only, ``count`` times."""
    rng = np.random.default_rng(seed)
    mine = rng.integers(clusters, size=(accounts, own))
    account = np.repeat(np.arange(accounts), count)
    cluster = mine[account, rng.integers(own, size=len(account))]
    return cluster * each + rng.integers(each, size=len(account)), account


def serving(prompts, prepared, accounts=4, max_tokens=64):
    return AdmissionState(Ledger(), {}, open_accounts(accounts), Prices(), max_tokens, prompts, prepared)


def scores(detector, at, now=0.0):
    found = detector.examine(at, now)
    assert (found.alarm == (found.score > 1)).all()
    assert (found.cluster == -1).all()
    return dict(zip(found.account.tolist(), found.score.tolist(), strict=True))


def watched(detector, at, prompt, account, output_tokens=None, cuts=()):
    """Show requests in one piece, or in several at the given rows."""
    prompt, account = np.asarray(prompt), np.asarray(account)
    output = np.full(len(prompt), 50) if output_tokens is None else output_tokens
    for rows in np.split(np.arange(len(prompt)), cuts):
        detector.watch(asked(prompt[rows], account[rows]), np.asarray(output)[rows].astype(np.int32), at)
    return scores(detector, at)
