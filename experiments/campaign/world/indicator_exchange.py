"""Providers that tell each other what they found, and look for it among their own accounts.

Which accounts match is decided by what a provider sees: an account that pays as a shared indicator says, or that has two
other things in common with what was shared (network, client software, wordings).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from defenses.admission.sight import sketch_of
from experiments.campaign.config.policy import Policy
from experiments.campaign.sharing.board import IndicatorBoard
from experiments.campaign.sharing.indicators import KINDS, Cluster, Values, bundle_of
from experiments.campaign.world.climb import Acted, Found
from experiments.campaign.world.provider import Provider, Watched
from teacher.api.clock import DAY

TYPICAL = 2
"""Accounts of a cluster that have something in common before it is told to others."""
WORDINGS = 3
"""Shared wordings that an account uses in an epoch before they count."""
CONFIDENCE = 80
"""Of a reviewed cluster, as STIX has it (0 to 100)."""
SCHEMA = {
    "provider": pl.String, "day": pl.Float64, "cluster": pl.Int64, "accounts": pl.Int64, "first_day": pl.Float64,
    "last_day": pl.Float64, "kind": pl.String, "value": pl.Int64,
}  # fmt: skip


class Shared:
    """What the providers of a market exchange; nothing where the policy does not share.

    Args:
        policy: of the guarded providers; those without guard neither send nor read.
        providers: of the market.
        seed: of what goes wrong on the way.
    """

    def __init__(self, policy: Policy, providers: Sequence[Provider], seed: int) -> None:
        self._policy = policy
        self._takes_part = {p.name for p in providers if p.policy.sharing is not None}
        self._board = IndicatorBoard(policy.sharing) if policy.sharing is not None else None
        self._rng = np.random.default_rng(seed)
        self._read_until = dict.fromkeys(self._takes_part, -np.inf)
        self._matched: dict[str, NDArray[np.int32]] = {}
        self._told: list[tuple[str, float, int, Cluster, Values]] = []

    def read(self, provider: Provider, seen: Watched, now: float) -> dict[str, int]:
        """Look for what others told among a provider's accounts, and let the policy follow for those that match.

        Returns:
            ``indicators_received``, and ``indicators_true``: matching accounts that are attackers'.
        """
        counts = {"indicators_received": 0, "indicators_true": 0}
        if self._board is None or provider.name not in self._takes_part:
            return counts
        day = now / DAY
        new = self._board.read(provider.name, day, self._read_until[provider.name])
        self._read_until[provider.name] = day
        counts["indicators_received"] = sum(len(values) for values in new.values())
        matching = self._match(provider, seen, self._board.read(provider.name, day))
        known = self._matched.get(provider.name, np.zeros(0, np.int32))
        fresh = np.setdiff1d(matching, known).astype(np.int32)
        self._matched[provider.name] = np.union1d(known, fresh).astype(np.int32)
        counts["indicators_true"] = int((fresh >= provider.honest).sum())
        provider.climb.indicate(self._policy.on_indicator, fresh, now)
        return counts

    def publish(self, provider: Provider, acted: Acted, seen: Watched, now: float) -> dict[str, int]:
        """Tell others of the clusters that were acted upon; ``indicators_sent``."""
        if self._board is None or provider.name not in self._takes_part:
            return {"indicators_sent": 0}
        if not acted.clusters:
            return {"indicators_sent": 0}
        honest, asked = self._honest(provider), _Asked(provider, seen)
        sent = 0
        for found in acted.clusters:
            cluster = self._cluster(provider, found, asked, now)
            values = self._board.tell(provider.name, now / DAY, cluster, honest, self._rng)
            self._told.append((provider.name, now / DAY, found.row, cluster, values))
            sent += sum(len(column) for column in values.values())
        return {"indicators_sent": sent}

    def table(self) -> pl.DataFrame:
        """A row for each indicator that was sent, ``cluster`` counted by each provider for itself; see `bundles`."""
        rows = [
            (name, day, row, cluster.accounts, cluster.first_day, cluster.last_day, kind, value)
            for name, day, row, cluster, values in self._told
            for kind in KINDS
            for value in values[kind].tolist()
        ]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")

    def _match(self, provider: Provider, seen: Watched, told: Values) -> NDArray[np.int32]:
        accounts = provider.accounts
        pays = np.isin(accounts.payment, told["payment"])
        others = np.isin(accounts.network, told["network"]).astype(np.int8)
        others += np.isin(accounts.fingerprint, told["fingerprint"])
        sketch = sketch_of(provider.prompts, provider.memory)
        known = np.isin(sketch, told["sketch"])[seen.requests.prompt]
        others += np.bincount(seen.requests.account[known], minlength=len(accounts)) >= WORDINGS
        return np.flatnonzero((pays | (others >= TYPICAL)) & ~accounts.banned).astype(np.int32)

    def _cluster(self, provider: Provider, found: Found, asked: _Asked, now: float) -> Cluster:
        accounts, members = provider.accounts, found.members
        values = {
            "network": _common(accounts.network[members]),
            "payment": _common(accounts.payment[members]),
            "fingerprint": _common(accounts.fingerprint[members]),
            "sketch": _common(asked.sketches(members), least=len(members)),
        }
        first = float(max(accounts.created[members].min(), 0.0)) / DAY
        return Cluster(len(members), first, now / DAY, CONFIDENCE, values)

    def _honest(self, provider: Provider) -> dict[str, NDArray[np.int32]]:
        """What wrong indicators name. Software and wordings are not among them: a library of some thousand prompts and some
        thousand clients stands for far more, and one wrong one would meet a large part of the honest accounts."""
        own = slice(0, provider.honest)
        return {"network": provider.accounts.network[own], "payment": provider.accounts.payment[own]}


class _Asked:
    """Sketches of what accounts asked in an epoch."""

    def __init__(self, provider: Provider, seen: Watched) -> None:
        account = seen.requests.account
        order = np.argsort(account, kind="stable")
        self._sketch = sketch_of(provider.prompts, provider.memory)[seen.requests.prompt[order]]
        counts = np.bincount(account, minlength=len(provider.accounts))
        self._from = np.concatenate([[0], np.cumsum(counts)])

    def sketches(self, members: NDArray[np.int32]) -> NDArray[np.int32]:
        """Of all requests of these accounts."""
        parts = [self._sketch[self._from[m] : self._from[m + 1]] for m in members]
        return np.concatenate([np.zeros(0, np.int32), *parts])


def bundles(table: pl.DataFrame, lifetime_days: float, most: int) -> str:
    """The first clusters of `Shared.table` as STIX 2.1 bundles, one JSON object a line."""
    lines: list[str] = []
    for _, part in table.group_by("provider", "day", "cluster", maintain_order=True):
        if len(lines) == most:
            break
        row = part.row(0, named=True)
        of_kind = {k: part.filter(pl.col("kind") == k)["value"].to_numpy().astype(np.int32) for k in KINDS}
        cluster = Cluster(row["accounts"], row["first_day"], row["last_day"], CONFIDENCE, of_kind)
        lines.append(bundle_of(row["provider"], row["day"], cluster, of_kind, lifetime_days).serialize())
    return "".join(f"{line}\n" for line in lines)


def _common(values: NDArray[np.int32], least: int = TYPICAL) -> NDArray[np.int32]:
    """Values that occur this often, the commonest first."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return found[order][counts[order] >= least].astype(np.int32)
