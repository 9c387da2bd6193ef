"""Requests of accounts that do given things, and the same judged by definition, pair by pair."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np

from defenses.base import AdmissionState, Traffic
from lm.ragged import Ragged
from teacher.api.accounts import Accounts
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import Prompts, Requests

HOUR = 3600.0


def batch(rows):
    """Requests from (seconds, account, prompt, network) rows, in the order of accounts, then time."""
    rows = sorted(rows, key=lambda r: (r[1], r[0]))
    time, account, prompt, network = (np.array(column) for column in zip(*rows, strict=True))
    size = np.full(len(rows), 10, np.int32)
    seed = np.zeros(len(rows), np.int64)
    return Requests(
        time.astype(float), account.astype(np.int32), prompt.astype(np.int64), size, seed, network.astype(np.int32)
    )


def prompts(count=1000):
    """Every prompt is a template of its own."""
    return Prompts([""] * count, Ragged.of([]), sketch=np.arange(count, dtype=np.int32))


def state(accounts, prepared=None, **columns):
    table = Accounts()
    table.open(accounts, **columns)
    return AdmissionState(Ledger(), {}, table, Prices(), prompts=prompts(), prepared=prepared or {})


def watched(detector, at, requests):
    detector.watch(requests, np.zeros(len(requests), np.int32), at)
    return at


def traffic(at, requests):
    return Traffic(requests, at.prompts, at.accounts, np.zeros(len(requests), np.int32))


def pairs(sets, most, jaccard, shared):
    """networkx graph of the accounts (keys of ``sets``) that are linked, by definition."""
    holders = {}
    for account, tokens in sets.items():
        for token in tokens:
            holders.setdefault(token, set()).add(account)
    kept = {a: {t for t in tokens if len(holders[t]) <= most} for a, tokens in sets.items()}
    graph = nx.Graph()
    graph.add_nodes_from(sets)
    for a, b in itertools.combinations(sorted(sets), 2):
        both, either = len(kept[a] & kept[b]), len(kept[a] | kept[b])
        if both >= shared and both / either >= jaccard:
            graph.add_edge(a, b, weight=both / either)
    return graph, kept


def same_parts(label, parts):
    """Whether (K,) labels part 0 .. K - 1 as ``parts`` (sets) do."""
    found = {frozenset(np.flatnonzero(label == x).tolist()) for x in np.unique(label)}
    return found == {frozenset(part) for part in parts}
