"""What limits and detectors do to everybody who is not attacking: refusals, waits and false alarms of all judged requests of
the honest population, by kind of user and for the heaviest ones. Plain numbers of one seed; knows no statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

EVERYBODY, HARD = "everybody", "hard_negatives"
HEAVIEST = {"heaviest_1": 0.01, "heaviest_0.1": 0.001}
"""Share of the accounts that sent anything, by number of requests; one account at least."""
POOLED_GROUPS = (EVERYBODY, HARD, *HEAVIEST)
"""Groups of users that every table shows; the kinds of users are groups too."""

SCHEMA = {
    "group": pl.String,
    "accounts": pl.Int64,
    "requests": pl.Int64,
    "refused": pl.Int64,
    "waited": pl.Float64,
    "waited_p95": pl.Float64,
    "puzzle_seconds": pl.Float64,
    "shut_out": pl.Int64,
    "banned": pl.Int64,
    "dollars": pl.Float64,
}
"""Columns of `load_table`: accounts that sent anything; requests, those never answered; sum and 95th percentile of seconds
waited; seconds of proof-of-work; accounts suspected, rejected or banned (`teacher.api.gateway.Gateway.shut_out`), and
banned; list price of what was answered."""

_SUMS = ("requests", "refused", "waited", "puzzle_seconds", "shut_out", "banned", "dollars")


def nobody() -> pl.DataFrame:
    """The table of an API that judges no requests."""
    return pl.DataFrame(schema=SCHEMA)


def load_table(accounts: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """One row a group of users: `POOLED_GROUPS`, then every kind by name.

    Args:
        accounts: account, kind, hard, and per account what `SCHEMA` sums over.
        requests: account and waited (s) of each judged request.
    """
    active = accounts.filter(pl.col("requests") > 0).sort("requests", "account", descending=[True, False])
    members = {
        EVERYBODY: active,
        HARD: active.filter(pl.col("hard")),
        **{name: active.head(math.ceil(share * active.height)) for name, share in HEAVIEST.items()},
        **{str(kind): active.filter(pl.col("kind") == kind) for kind in sorted(active["kind"].unique())},
    }
    rows = []
    for group, own in members.items():
        if own.is_empty():
            continue
        waited = requests.join(own.select("account"), on="account", how="semi")["waited"].to_numpy()
        sums = {name: own[name].sum() for name in _SUMS}
        row = {"group": group, "accounts": own.height, "waited_p95": float(np.quantile(waited, 0.95)), **sums}
        rows.append(row)
    return pl.DataFrame(rows, schema=SCHEMA)


def percentiles(requests: pl.Series) -> pl.Series:
    """(A,) share (%) of the accounts with any request that sent no more than each did."""
    sent = requests.to_numpy()
    active = np.sort(sent[sent > 0])
    return pl.Series(100.0 * np.searchsorted(active, sent, "right") / max(len(active), 1))


def load_numbers(load: pl.DataFrame) -> Mapping[tuple[str, str], float]:
    """Measures of one seed by (name, group of users): see docs/measures.md, "What honest users lose"."""
    found: dict[tuple[str, str], float] = {}
    for row in load.iter_rows(named=True):
        requests, accounts, group = row["requests"], row["accounts"], row["group"]
        found |= {
            ("load_accounts", group): float(accounts),
            ("load_requests", group): float(requests),
            ("load_refused", group): row["refused"] / requests,
            ("load_wait", group): row["waited"] / requests,
            ("load_wait_p95", group): row["waited_p95"],
            ("load_puzzle", group): row["puzzle_seconds"] / requests,
            ("load_false_alarms", group): row["shut_out"] / accounts,
            ("load_dollars", group): row["dollars"],
        }
    return found
