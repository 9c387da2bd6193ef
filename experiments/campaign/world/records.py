"""Books of a campaign: adds up what happens in each epoch, and makes the tables of a `CampaignResult` of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attacks.accounts.operation import CAPABILITIES
from attacks.accounts.operator import Operator
from experiments.campaign.campaign_result import HONEST
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.world import tally
from experiments.campaign.world.climb import Acted
from experiments.campaign.world.provider import COUNTED, Provider, Watched
from teacher.api.clock import DAY

FATES = ("refused", "usable", "hidden", "altered", "contaminated")
"""In the order of `tally.harvest`."""


class _Harvested(NamedTuple):
    """As `tally.harvest` adds it up."""

    counts: NDArray[np.int64]
    usable: NDArray[np.int64]
    active: NDArray[np.bool_]
    came: NDArray[np.int64]
    tokens: NDArray[np.float64]


class Records:
    """Books of one campaign.

    Args:
        campaign: what is simulated.
        providers: in the order of the market.
        operators: by name.
        rng: decides which answers came from another model.
    """

    def __init__(
        self, campaign: Campaign, providers: list[Provider], operators: Mapping[str, Operator], rng: np.random.Generator
    ) -> None:
        self._campaign, self._providers, self._operators, self._rng = campaign, providers, operators, rng
        self._epochs: list[dict[str, Any]] = []
        self._harvest: list[dict[str, Any]] = []
        self._tokens = dict.fromkeys(operators, 0.0)
        self._paid = dict.fromkeys(operators, 0.0)
        self._opened = dict.fromkeys((p.name for p in providers), 0)
        self._found = dict.fromkeys((p.name for p in providers), 0)
        self.events = 0

    def traffic(self, epoch: int, provider: Provider, seen: Watched) -> dict[str, tuple[int, int]]:
        """Add up an epoch's requests; by operation, exchanges that came through and look whole, and all its requests."""
        self.events += len(seen.requests)
        account = seen.requests.account
        first = int(np.searchsorted(account, provider.honest))  # attackers' accounts come last: their organisations do
        row: dict[str, Any] = {"epoch": epoch, "day": self._day(epoch), "provider": provider.name}
        for who, part in (("honest", slice(0, first)), ("attack", slice(first, None))):
            row[f"{who}_sent"] = len(seen.served[part])
            for name in COUNTED[1:]:
                row[f"{who}_{name}"] = int(np.count_nonzero(getattr(seen, name)[part]))
        found = self._harvested(provider, seen, slice(first, None))
        row["distil_usable"] = int(found.usable.sum())
        row["attack_active"] = int(found.active.sum())
        provider.books["distil_usable"][:] += found.usable
        self._epochs.append(row)
        self._add_harvest(epoch, provider.name, found.counts)
        for number, name in enumerate(self._operators):
            self._tokens[name] += float(found.tokens[number])
        return {name: (int(came[0]), int(came[1])) for name, came in zip(self._operators, found.came, strict=False)}

    def _harvested(self, provider: Provider, seen: Watched, rows: slice) -> _Harvested:
        """What the rows of attackers' accounts brought."""
        operation, capability = self._asked_for(int(seen.listed[rows].max(initial=0)) + 1)
        owner, size = self._owner(provider), max(len(self._operators), 1)
        found = _Harvested(
            counts=np.zeros((size * len(CAPABILITIES), tally.FATES), np.int64),
            usable=np.zeros(len(provider.accounts), np.int64),
            active=np.zeros(len(owner), np.bool_),
            came=np.zeros((size, 2), np.int64),
            tokens=np.zeros(size),
        )
        columns = (seen.requests.account, seen.listed, seen.served, seen.hidden, seen.altered)
        tally.harvest(
            *(column[rows] for column in columns),
            self._contaminated(operation, seen, rows),
            seen.dollars[rows],
            operation,
            capability,
            owner,
            provider.honest,
            len(CAPABILITIES),
            *found,
        )
        return found

    def actions(
        self, epoch: int, provider: Provider, acted: Acted, alarms: NDArray[np.int32], shared: Mapping[str, int]
    ) -> None:
        """Add what a provider did at the end of an epoch to the row of its traffic.

        Args:
            epoch: of the campaign.
            provider: that acted.
            acted: what it did.
            alarms: accounts with an alarm in this epoch.
            shared: indicators sent, received and, of these, true.
        """
        row = next(r for r in reversed(self._epochs) if r["epoch"] == epoch and r["provider"] == provider.name)
        first, name = provider.honest, provider.name
        opened, found = int((provider.accounts.created[first:] <= self._end(epoch)).sum()), len(provider.clusters)
        row |= {
            "attack_opened": opened - self._opened[name],
            "attack_banned": int((acted.banned >= first).sum()),
            "attack_lost": int((acted.lost >= first).sum()),
            "honest_banned": int((acted.banned < first).sum()),
            "honest_lost": int((acted.lost < first).sum()),
            "alarms": len(alarms),
            "alarms_true": int((alarms >= first).sum()),
            "clusters": found - self._found[name],
            "reviews": acted.reviews,
            **shared,
        }
        self._opened[name], self._found[name] = opened, found

    def costs(self, epoch: int) -> None:
        """Add what the operations spent in an epoch, to the row of the first provider."""
        spent = 0.0
        for name, operator in self._operators.items():
            paid = sum(operator.dollars(self._tokens[name]).values())
            spent += paid - self._paid[name]
            self._paid[name] = paid
        rows = [r for r in self._epochs if r["epoch"] == epoch]
        for number, row in enumerate(rows):
            row["attack_dollars"] = spent if number == 0 else 0.0

    def tables(self, mimics: Mapping[str, NDArray[np.int32]]) -> dict[str, pl.DataFrame]:
        """``epochs``, ``harvest``, ``accounts``, ``clusters`` and ``edges``, see `CampaignResult`."""
        labels = {p.name: self.labels(p, mimics) for p in self._providers}
        before = np.cumsum([0, *(len(p.clusters) for p in self._providers)])  # rows of clusters, of other providers
        return {
            "epochs": pl.DataFrame(self._epochs, infer_schema_length=None),
            "harvest": pl.DataFrame(self._harvest, schema=_HARVEST),
            "accounts": pl.concat(
                [_accounts(p, labels[p.name], int(row)) for p, row in zip(self._providers, before, strict=False)],
                how="diagonal_relaxed",
            ),
            "clusters": pl.DataFrame(
                [row for p in self._providers for row in _clusters(p, labels[p.name])], schema=_CLUSTERS
            ),
            "edges": pl.concat([_edges(p) for p in self._providers]),
        }

    def dollars(self) -> dict[str, dict[str, float]]:
        """What each operation paid for what."""
        return {name: operator.dollars(self._tokens[name]) for name, operator in self._operators.items()}

    def _end(self, epoch: int) -> float:
        return (epoch + 1) * 3600.0 * self._campaign.epoch_hours

    def _day(self, epoch: int) -> float:
        return self._end(epoch) / DAY

    def _owner(self, provider: Provider) -> NDArray[np.int16]:
        """(attackers' accounts,) number of the operation that opened each."""
        owner = np.full(len(provider.accounts) - provider.honest, -1, np.int16)
        place = self._providers.index(provider)
        for number, operator in enumerate(self._operators.values()):
            owner[operator.ids(place) - provider.honest] = number
        return owner

    def _asked_for(self, lists: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Number of operation and capability that each of these lists asks for, -1 where it is a customer's."""
        operation, capability = np.full(lists, -1, np.int16), np.full(lists, -1, np.int16)
        for number, operator in enumerate(self._operators.values()):
            for which, name in operator.capability_of.items():
                if which < lists:
                    operation[which], capability[which] = number, CAPABILITIES.index(name)
        return operation, capability

    def _contaminated(self, operation: NDArray[np.int16], seen: Watched, rows: slice) -> NDArray[np.bool_]:
        """(B,) which usable answers came from another model; (1,) False where no operation has such."""
        share = np.array([o.operation.contamination for o in self._operators.values()] or [0.0])
        if not share.any():
            return np.zeros(1, np.bool_)
        asked = operation[seen.listed[rows]]
        mine = np.where(asked >= 0, share[np.maximum(asked, 0)], 0.0)
        usable = seen.served[rows] & ~seen.hidden[rows] & ~seen.altered[rows]
        return np.asarray(usable & (self._rng.random(len(mine)) < mine), np.bool_)

    def _add_harvest(self, epoch: int, provider: str, counts: NDArray[np.int64]) -> None:
        wide = len(CAPABILITIES)
        for number, (name, operator) in enumerate(self._operators.items()):
            for asked, share in operator.operation.mix().items():
                at = number * wide + CAPABILITIES.index(asked)
                self._harvest.append(
                    {
                        "epoch": epoch,
                        "day": self._day(epoch),
                        "provider": provider,
                        "operation": name,
                        "capability": asked,
                        "planned": operator.operation.exchanges * share,
                        **dict(zip(("sent", *FATES), counts[at].tolist(), strict=True)),
                    }
                )

    def labels(self, provider: Provider, mimics: Mapping[str, NDArray[np.int32]]) -> NDArray[np.object_]:
        """(A,) operation of every account, `HONEST` for none; ``mimics`` are accounts of the first provider."""
        names = np.array([*self._operators, HONEST], object)
        label = np.concatenate([np.full(provider.honest, HONEST, object), names[self._owner(provider)]])
        for name, accounts in mimics.items() if provider is self._providers[0] else ():
            label[accounts] = name
        return label


def _accounts(provider: Provider, label: NDArray[np.object_], first_cluster: int) -> pl.DataFrame:
    population, count = provider.population, len(provider.accounts)
    strangers = count - provider.honest
    kinds = np.array([*population.kinds, "attack"], object)
    kind = np.concatenate([population.kind, np.full(strangers, -1, np.int16)])
    cluster = np.full(count, -1, np.int64)
    for _, _, found in provider.clusters:
        cluster[found.members] = first_cluster + found.row
    state = provider.climb.state
    columns: dict[str, Any] = {
        "provider": pl.Series([provider.name]).new_from_index(0, count),
        "account": np.arange(count, dtype=np.int32),
        "operation": pl.Series(label.tolist(), dtype=pl.String),
        "kind": pl.Series(kinds[kind].tolist(), dtype=pl.String),
        "hard_negative": np.concatenate([population.hard, np.zeros(strangers, np.bool_)]),
        "opened_day": provider.accounts.created / DAY,
        **{
            name: provider.books[name]
            for name in ("requests", "served", "refused", "blocked", "altered", "distil_usable")
        },
        "dollars": provider.books["dollars"],
        **{f"{new}_day": state[old] / DAY for new, old in _TIMES.items()},
        "rung": state["rung"],
        "cluster": cluster,
        **{f"score_{name}": provider.scores[name] for name in provider.scores},
        **{f"alarm_{name}": provider.alarms[name] for name in provider.alarms},
    }
    frame = pl.DataFrame(columns)
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


_TIMES = {"first_alarm": "alarmed", "acted": "acted", "banned": "banned", "lost": "lost"}
_HARVEST = {
    "epoch": pl.Int32, "day": pl.Float64, "provider": pl.String, "operation": pl.String, "capability": pl.String,
    "planned": pl.Float64, "sent": pl.Int64, **dict.fromkeys(FATES, pl.Int64),
}  # fmt: skip
_CLUSTERS = {
    "provider": pl.String, "day": pl.Float64, "detector": pl.String, "size": pl.Int64, "attackers": pl.Int64,
    "honest": pl.Int64, "operations": pl.Int64, "main_operation": pl.String, "main_count": pl.Int64, "acted": pl.Boolean,
}  # fmt: skip


def _clusters(provider: Provider, label: NDArray[np.object_]) -> list[dict[str, Any]]:
    rows = []
    for detector, found_at, found in provider.clusters:
        names, counts = np.unique(label[found.members].astype(str), return_counts=True)
        whose = {n: int(c) for n, c in zip(names, counts, strict=True) if n != HONEST}
        main = max(whose, key=lambda n: whose[n], default=HONEST)
        rows.append(
            {
                "provider": provider.name,
                "day": found_at / DAY,
                "detector": detector,
                "size": len(found.members),
                "attackers": sum(whose.values()),
                "honest": len(found.members) - sum(whose.values()),
                "operations": len(whose),
                "main_operation": main,
                "main_count": whose.get(main, 0),
                "acted": found.row in provider.acted_clusters,
            }
        )
    return rows


def _edges(provider: Provider) -> pl.DataFrame:
    links = {name: np.asarray(provider.edges.get(name, [])) for name in ("a", "b", "weight")}
    kinds = {"a": np.int32, "b": np.int32, "weight": np.float64}
    frame = pl.DataFrame({name: values.astype(kinds[name]) for name, values in links.items()})
    return frame.select(pl.lit(provider.name).alias("provider"), "a", "b", "weight")
