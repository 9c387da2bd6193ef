"""Times the linking of a provider's accounts by what they did together, beside plain scipy, in one run.

The baseline is X·Xᵀ in blocks of rows with `scipy.sparse`, the Jaccard filter on its entries, and
`scipy.sparse.csgraph.connected_components`. Both must find the same groups; nothing else here passes or fails. Then all
detectors that link accounts watch and examine a day of requests (those that are fitted with a threshold of nothing).
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from benchmarks.stopwatch import Time, timed
from defenses.admission.linking.fraudar import Fraudar
from defenses.admission.linking.incidence import incidence
from defenses.admission.linking.linker import Linker
from defenses.admission.linking.links import link
from defenses.admission.linking.louvain import Louvain
from defenses.admission.linking.sybilrank import SybilRank
from defenses.base import AdmissionState
from lm.ragged import Ragged
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import Prompts, Requests

JACCARD, SHARED, MOST = 0.25, 5, 400
GROUP, KEPT = 300, 0.7
"""Accounts of a synchronised group, and the share of its schedule that each keeps."""

JOBS, ON_SCHEDULE = 10, 0.95
"""Of the day of requests: jobs of a group, and the share of its accounts' requests that are for them."""

TINY = ("--accounts", "3000", "--requests", "600")
"""Arguments with which the tests see that it runs; the figures mean nothing."""

EXAMPLES = """\
examples:
  python -m benchmarks.linking                       124,000 accounts and a day of 6 million requests, in minutes
  python -m benchmarks.linking --accounts 12400 --requests 600000
"""


class LinkedAccounts(NamedTuple):
    """(N,) pairs of account and token; the first ``honest`` accounts do things at random."""

    account: NDArray[np.int32]
    key: NDArray[np.int64]
    honest: int


def population(accounts: int, rng: np.random.Generator, each: int = 60) -> LinkedAccounts:
    """A fifth of the accounts act in groups of 300, each account 70 % of its group's schedule and the rest at random."""
    honest = accounts - accounts // 5
    vocabulary = int(accounts * 2.9)
    popularity = rng.pareto(2.0, vocabulary) + 1.0
    account = np.repeat(np.arange(accounts, dtype=np.int32), each)
    key = rng.choice(vocabulary, len(account), p=popularity / popularity.sum()).astype(np.int64)
    group = (account - honest) // GROUP
    schedule = rng.integers(vocabulary, size=(accounts // 5 // GROUP + 1, each))
    follows = (account >= honest) & (rng.random(len(account)) < KEPT)
    place = np.tile(np.arange(each), accounts)
    key[follows] = schedule[group[follows], place[follows]]
    return LinkedAccounts(account, key, honest)


def ours(people: LinkedAccounts, threads: int = 2) -> NDArray[np.int32]:
    """(accounts,) component of each, by the project's kernels."""
    return link(incidence(people.account, people.key, MOST), JACCARD, SHARED, threads).component


def plain(people: LinkedAccounts, block: int = 4000) -> NDArray[np.int32]:
    """(accounts,) component of each, by X·Xᵀ in blocks of rows."""
    ones = np.ones(len(people.key), np.int32)
    matrix = sparse.csr_array((ones, (people.account, people.key)))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    matrix = matrix[:, np.flatnonzero(matrix.sum(axis=0) <= MOST)]
    size, turned = matrix.sum(axis=1), matrix.T.tocsr()
    rows, columns = [], []
    for first in range(0, matrix.shape[0], block):
        pairs = (matrix[first : first + block] @ turned).tocoo()
        row = pairs.row + first
        near = (pairs.data >= SHARED) & (pairs.data >= JACCARD * (size[row] + size[pairs.col] - pairs.data))
        rows.append(row[near])
        columns.append(pairs.col[near])
    i, j = np.concatenate(rows), np.concatenate(columns)
    graph = sparse.coo_array((np.ones(len(i), np.bool_), (i, j)), shape=(len(size), len(size)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int32)


def same(a: NDArray[np.integer], b: NDArray[np.integer]) -> bool:
    """Whether two numberings part the accounts in the same way."""
    pairs = np.unique(np.stack([a, b]), axis=1).shape[1]
    return bool(pairs == len(np.unique(a)) == len(np.unique(b)))


def day(accounts: int, count: int, rng: np.random.Generator) -> tuple[AdmissionState, Requests]:
    """A day of requests: honest accounts with lognormal rates, and a fifth of the accounts behind shared networks, who spend
    nearly all requests on the ten jobs of their group's schedule, within ten minutes of each other."""
    attackers = accounts // 5
    honest, shared = accounts - attackers, max(accounts // 25, 1)
    table = Accounts()
    network = np.concatenate([shared + rng.integers(2 * accounts, size=honest), rng.integers(shared, size=attackers)])
    table.open(accounts, network=network, fingerprint=rng.integers(50, size=accounts))
    rate = rng.lognormal(0.0, 2.2, accounts)
    rate[honest:] = rate.mean() / 2
    account = np.sort(rng.choice(accounts, count, p=rate / rate.sum())).astype(np.int32)
    hostile = account >= honest
    time, prompt = rng.uniform(0.0, DAY, count), rng.integers(8000, size=count)
    moved = np.where(hostile, rng.integers(shared, size=count), table.network[account]).astype(np.int32)
    job = (account - honest) // GROUP * JOBS + rng.integers(JOBS, size=count)
    jobs = int(job.max()) + 1
    scheduled = np.flatnonzero(hostile & (rng.random(count) < ON_SCHEDULE))
    job = job[scheduled]
    time[scheduled] = rng.uniform(300.0, DAY - 300.0, max(jobs, 1))[job] + rng.uniform(-300.0, 300.0, len(job))
    prompt[scheduled] = rng.integers(100, size=max(jobs, 1))[job]
    moved[scheduled] = rng.integers(shared, size=max(jobs, 1))[job]
    order = np.lexsort((time, account))
    size = np.full(count, 300, np.int32)
    batch = Requests(time[order], account, prompt[order], size, np.zeros(count, np.int64), moved[order])
    prompts = Prompts([""] * 8000, Ragged.of([]), sketch=np.arange(8000, dtype=np.int32))
    return AdmissionState(Ledger(), {}, table, Prices(), 64, prompts), batch


def peak() -> float:
    """GB that this process has held at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Print seconds and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=124_000)
    parser.add_argument("--requests", type=int, default=6_000_000)
    given = parser.parse_args(argv)
    if given.accounts < 10 * GROUP:
        parser.error(f"--accounts {given.accounts}: must be at least {10 * GROUP}")
    if given.requests < 1:
        parser.error(f"--requests {given.requests}: must be at least 1")
    rng = np.random.default_rng(0)
    ours(population(10 * GROUP, rng))  # compiles
    people = population(given.accounts, rng)
    index = incidence(people.account, people.key, MOST)
    print(f"{given.accounts} accounts, {len(index.token)} pairs, {len(index.frequency)} tokens of 2 to {MOST} accounts")
    del index
    both, two = timed(lambda: ours(people))
    held = peak()
    single, one = timed(lambda: ours(people, threads=1))
    _report("linking, two threads", two, held)
    _report("linking, one thread", one, peak())
    reference, slow = timed(lambda: plain(people))
    _report("X·Xᵀ, Jaccard filter, connected_components (scipy)", slow, peak())
    print(f"ratio to scipy: {two.wall / slow.wall:.2f} of the wall time, {two.cpu / slow.cpu:.2f} of the CPU time")
    agreed = same(both, reference) and same(both, single)
    print("same groups" if agreed else "NOT the same groups")
    state, batch = day(given.accounts, given.requests, rng)
    hostile = given.accounts - given.accounts // 5
    for detector in (Linker(), Fraudar(), Louvain(), SybilRank()):
        fitted = {} if isinstance(detector, Linker) else {"threshold": torch.tensor([detector.floor])}
        at = replace(state, memory={}, prepared=fitted)
        _, watching = timed(lambda d=detector, s=at: d.watch(batch, batch.input_tokens, s))
        found, examining = timed(lambda d=detector, s=at: d.examine(s, DAY))
        name, right = type(detector).__name__, int((found.account[found.alarm] >= hostile).sum())
        _report(f"{name} watches {given.requests} requests of a day", watching, peak())
        said = "" if fitted else f", {int(found.alarm.sum())} alarms, {right} of them right"
        _report(f"{name} examines them ({len(found.account)} accounts judged{said})", examining, peak())
    return 0 if agreed else 1


def _report(what: str, took: Time, held: float) -> None:
    print(f"{what}: {took.wall:.1f} s wall, {took.cpu:.1f} s CPU, at most {held:.1f} GB held until then")


if __name__ == "__main__":
    sys.exit(main())
