"""Books of a campaign: adds up what happens in each epoch, and makes the tables of a `CampaignResult` of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attacks.accounts.operation import CAPABILITIES
from attacks.accounts.operator import Operator
from experiments.campaign.campaign import Campaign
from experiments.campaign.ladder import Acted
from experiments.campaign.provider import COUNTED, Provider, Watched
from experiments.campaign.result import HONEST
from teacher.api.clock import DAY

FATES = ("refused", "usable", "hidden", "altered", "contaminated")


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
        self.events = 0

    def traffic(self, epoch: int, provider: Provider, seen: Watched) -> dict[str, tuple[int, int]]:
        """Add up an epoch's requests; by operation, exchanges that came through and look whole, and all its requests."""
        self.events += len(seen.requests)
        owner = self._owner(provider)
        attack = seen.requests.account >= provider.honest
        first = int(np.searchsorted(seen.requests.account, provider.honest)) if not attack.all() else 0
        rows = slice(first, None)  # attackers' accounts come last: their organisations do
        assert attack[rows].all() and not attack[:first].any()
        row: dict[str, Any] = {"epoch": epoch, "day": self._day(epoch), "provider": provider.name}
        for who, part in (("honest", slice(0, first)), ("attack", rows)):
            row[f"{who}_sent"] = len(seen.served[part])
            for name in COUNTED[1:]:
                row[f"{who}_{name}"] = int(getattr(seen, name)[part].sum())
        operation, capability = self._asked_for(seen.listed[rows])
        account = seen.requests.account[rows]
        usable = seen.served[rows] & ~seen.hidden[rows] & ~seen.altered[rows]
        contaminated = self._contaminated(operation, usable)
        distil = operation >= 0
        row["distil_usable"] = int((usable & distil & ~contaminated).sum())
        provider.books["distil_usable"][:] += np.bincount(
            account[usable & distil & ~contaminated], minlength=len(provider.accounts)
        )
        active = np.unique(account[seen.served[rows]])
        row["attack_active"] = len(active)
        self._epochs.append(row)
        fates = {
            "refused": ~seen.served[rows],
            "usable": usable & ~contaminated,
            "hidden": seen.hidden[rows],
            "altered": seen.altered[rows],
            "contaminated": contaminated,
        }
        self._add_harvest(epoch, provider.name, operation, capability, fates)
        found = {}
        whole = seen.served[rows] & ~seen.hidden[rows]
        for number, name in enumerate(self._operators):
            own = owner[account - provider.honest] == number
            self._tokens[name] += float(seen.dollars[rows][own & distil].sum())
            found[name] = (int((whole & (operation == number)).sum()), int(own.sum()))
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
        first, end = provider.honest, self._end(epoch)
        opened = provider.accounts.created[first:]
        row |= {
            "attack_opened": int(((opened <= end) & (opened > end - self._length if epoch else True)).sum()),
            "attack_banned": int((acted.banned >= first).sum()),
            "attack_lost": int((acted.lost >= first).sum()),
            "honest_banned": int((acted.banned < first).sum()),
            "honest_lost": int((acted.lost < first).sum()),
            "alarms": len(alarms),
            "alarms_true": int((alarms >= first).sum()),
            "clusters": sum(day == end for _, day, _ in provider.clusters),
            "reviews": acted.reviews,
            **shared,
        }

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
        labels = {p.name: self._labels(p, mimics if p is self._providers[0] else {}) for p in self._providers}
        return {
            "epochs": pl.DataFrame(self._epochs, infer_schema_length=None),
            "harvest": pl.DataFrame(self._harvest, schema=_HARVEST),
            "accounts": pl.concat([_accounts(p, labels[p.name]) for p in self._providers], how="diagonal_relaxed"),
            "clusters": pl.DataFrame(
                [row for p in self._providers for row in _clusters(p, labels[p.name])], schema=_CLUSTERS
            ),
            "edges": pl.concat([_edges(p) for p in self._providers]),
        }

    def dollars(self) -> dict[str, dict[str, float]]:
        """What each operation paid for what."""
        return {name: operator.dollars(self._tokens[name]) for name, operator in self._operators.items()}

    @property
    def _length(self) -> float:
        return 3600.0 * self._campaign.epoch_hours

    def _end(self, epoch: int) -> float:
        return (epoch + 1) * self._length

    def _day(self, epoch: int) -> float:
        return self._end(epoch) / DAY

    def _owner(self, provider: Provider) -> NDArray[np.int16]:
        """(attackers' accounts,) number of the operation that opened each."""
        owner = np.full(len(provider.accounts) - provider.honest, -1, np.int16)
        place = self._providers.index(provider)
        for number, operator in enumerate(self._operators.values()):
            owner[operator.ids(place) - provider.honest] = number
        return owner

    def _asked_for(self, listed: NDArray[np.int32]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """(B,) number of operation and capability that each request is for, -1 where it is a customer's."""
        size = int(listed.max(initial=0)) + 1
        operation, capability = np.full(size, -1, np.int16), np.full(size, -1, np.int16)
        for number, operator in enumerate(self._operators.values()):
            for which, name in operator.capability_of.items():
                if which < size:
                    operation[which], capability[which] = number, CAPABILITIES.index(name)
        return operation[listed], capability[listed]

    def _contaminated(self, operation: NDArray[np.int16], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
        share = np.array([o.operation.contamination for o in self._operators.values()] or [0.0])
        mine = np.where(operation >= 0, share[np.maximum(operation, 0)], 0.0)
        return (
            usable & (operation >= 0) & (self._rng.random(len(mine)) < mine)
            if share.any()
            else np.zeros(len(mine), np.bool_)
        )

    def _add_harvest(
        self,
        epoch: int,
        provider: str,
        operation: NDArray[np.int16],
        capability: NDArray[np.int16],
        fates: Mapping[str, NDArray[np.bool_]],
    ) -> None:
        wide = len(CAPABILITIES)
        distil = operation >= 0
        code = operation[distil].astype(np.int64) * wide + capability[distil]
        size = max(len(self._operators), 1) * wide
        counts = {name: np.bincount(code[mask[distil]], minlength=size) for name, mask in fates.items()}
        sent = np.bincount(code, minlength=size)
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
                        "sent": int(sent[at]),
                        **{fate: int(counts[fate][at]) for fate in FATES},
                    }
                )

    def _labels(self, provider: Provider, mimics: Mapping[str, NDArray[np.int32]]) -> NDArray[np.object_]:
        """(A,) operation of every account, `HONEST` for none."""
        names = np.array([*self._operators, HONEST], object)
        label = np.concatenate([np.full(provider.honest, HONEST, object), names[self._owner(provider)]])
        for name, accounts in mimics.items():
            label[accounts] = name
        return label


def _accounts(provider: Provider, label: NDArray[np.object_]) -> pl.DataFrame:
    population, count = provider.population, len(provider.accounts)
    strangers = count - provider.honest
    kinds = np.array([*population.kinds, "attack"], object)
    kind = np.concatenate([population.kind, np.full(strangers, -1, np.int16)])
    cluster = np.full(count, -1, np.int64)
    for _, _, found in provider.clusters:
        cluster[found.members] = found.row
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
