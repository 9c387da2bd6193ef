"""What the groups that detectors find ask of a provider's reviewers. Knows the ladder's rules, nothing of detectors.

The tables say how many groups were found and how many were looked at in each epoch, not which. But a provider stops only
when its reviews are used up: where it had some left, nothing was waiting. Between such epochs the numbers here are the
most that can have been, groups whose accounts were all gone by then included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from experiments.campaign.campaign_result import CampaignResult
from experiments.campaign.measure.found_groups import NOTHING
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.proportion import ratio
from experiments.measure.estimate import Estimate

UNKNOWN = "its configuration does not say how many reviews there are in a day"


class Terms(NamedTuple):
    """Of the policy's ladder: reviews in a day, days that a group waits at most, and from a review to the action."""

    per_day: float
    patience: float
    delay: float


class ReviewedEpoch(NamedTuple):
    """A provider's groups at the end of an epoch.

    Args:
        day: end of the epoch.
        found: groups found in it.
        reviews: groups looked at in it.
        waiting: most groups with anybody left in them that can be waiting; 0 where reviews were left over.
        cleared: whether some were left over.
    """

    day: float
    found: int
    reviews: int
    waiting: int
    cleared: bool


def reviewing(result: CampaignResult) -> dict[Key, Estimate]:
    """``reviews`` of groups in all, ``reviews_per_day``, ``reviews_most`` in one day; ``groups_per_day`` found;
    ``acted_accounts_per_day``: accounts in the groups that were acted upon; ``waiting_most``: groups that waited at the end
    of an epoch, at most; ``given_up_share``: of the groups whose patience ran out before the end, the share that was given
    up without a review, at most, with what is certain as its lower limit."""
    days = float(result.epochs["day"].max() or 0.0)  # type: ignore[arg-type]
    by_day = result.epochs.group_by((pl.col("day") - 1e-9).ceil()).agg(pl.col("reviews").sum())["reviews"]
    acted = result.clusters.filter(pl.col("acted"))
    found = {
        Key("reviews"): Estimate(float(result.epochs["reviews"].sum())),
        Key("reviews_per_day"): ratio(float(result.epochs["reviews"].sum()), days, "no day was simulated"),
        Key("reviews_most"): Estimate(float(by_day.max() or 0)),  # type: ignore[arg-type]
        Key("groups_per_day"): ratio(float(result.clusters.height), days, "no day was simulated"),
        Key("acted_accounts_per_day"): ratio(float(acted["size"].sum()), days, "no day was simulated"),
    }
    if not result.clusters.height:
        return found | {Key(name): Estimate(None, reason=NOTHING) for name in ("waiting_most", "given_up_share")}
    terms = terms_of(result)
    if terms is None:
        return found | {Key(name): Estimate(None, reason=UNKNOWN) for name in ("waiting_most", "given_up_share")}
    lines = queues(result, terms)
    found[Key("waiting_most")] = Estimate(float(max(waiting(lines)["waiting"].to_list())))
    return found | {Key("given_up_share"): _given_up(result, terms, lines)}


def terms_of(result: CampaignResult) -> Terms | None:
    """Those of the campaign's configuration; None where the result does not hold it."""
    policy = (result.facts.get("config") or {}).get("policy") or {}
    ladder = policy.get("ladder") if isinstance(policy, Mapping) else None
    if not isinstance(ladder, Mapping):
        return None
    reviews, patience, delay = (float(ladder[name]) for name in ("reviews_per_day", "patience_days", "delay_hours"))
    return Terms(reviews, patience, delay / 24)


def queues(result: CampaignResult, terms: Terms) -> dict[str, list[ReviewedEpoch]]:
    """By provider, its epochs in order."""
    found: dict[str, list[ReviewedEpoch]] = {}
    for provider in dict.fromkeys(result.epochs["provider"].to_list()):
        epochs = result.epochs.filter(pl.col("provider") == provider).sort("day")
        groups = result.clusters.filter(pl.col("provider") == provider)["day"].to_list()
        found[str(provider)] = _queue(epochs["day"].to_list(), epochs["reviews"].to_list(), groups, terms)
    return found


def waiting(lines: Mapping[str, Sequence[ReviewedEpoch]]) -> pl.DataFrame:
    """``day``, ``reviews`` and most groups ``waiting`` at its end, a row an epoch, providers added up."""
    rows = [line for own in lines.values() for line in own]
    schema = {"day": pl.Float64(), "reviews": pl.Int64(), "waiting": pl.Int64()}
    frame = pl.DataFrame([(q.day, q.reviews, q.waiting) for q in rows], schema=schema, orient="row")
    return frame.group_by("day").sum().sort("day")


def _queue(days: Sequence[float], reviews: Sequence[int], groups: Sequence[float], terms: Terms) -> list[ReviewedEpoch]:
    """As the ladder has it: a day's reviews are there from its beginning, and of those left over a part of one is kept."""
    lines: list[ReviewedEpoch] = []
    budget, today, since, spent = 0.0, -1, -math.inf, 0
    before = 0.0
    for day, count in zip(days, reviews, strict=True):
        middle = math.floor((before + day) / 2 + 1e-9)
        if middle > today:
            budget, today = min(budget + terms.per_day, float(math.ceil(terms.per_day))), middle
        for _ in range(count):  # one by one, so that a part of a review is rounded as the ladder rounds it
            budget -= 1
        spent += count
        cleared = budget >= 1
        if cleared:
            since, spent = day, 0
        waits = [g for g in groups if since + 1e-9 < g <= day + 1e-9]
        recent = sum(g + terms.patience >= day - 1e-9 for g in waits)
        most = recent - max(0, spent - (len(waits) - recent))
        new = sum(before + 1e-9 < g <= day + 1e-9 for g in groups)
        lines.append(ReviewedEpoch(day, new, int(count), max(0, most), cleared))
        before = day
    return lines


def _given_up(result: CampaignResult, terms: Terms, lines: Mapping[str, Sequence[ReviewedEpoch]]) -> Estimate:
    """Of the groups whose patience ran out: at least those that hold somebody to the end, at most those that no epoch with
    reviews to spare came in time for."""
    groups = result.clusters.with_row_index("row")
    ends = {name: own[-1].day for name, own in lines.items() if own}
    late = [r for r in groups.iter_rows(named=True) if r["day"] + terms.patience < ends[r["provider"]] - 1e-9]
    if not late:
        return Estimate(None, reason="no group waited as long as the patience of its reviewers")
    staying = result.accounts.filter(pl.col("banned_day").is_null() & pl.col("lost_day").is_null())
    held = set(staying["cluster"].drop_nulls().to_list())
    most = least = 0
    for row in late:
        due = row["day"] + terms.patience
        if row["acted"] or any(q.cleared for q in _between(lines[row["provider"]], row["day"], due)):
            continue
        most += 1
        least += row["row"] in held and due + terms.delay <= ends[row["provider"]] + 1e-9
    total = len(late)
    reason = "at most: nobody may have been left in some of them" if least < most else ""
    return Estimate(most / total, least / total, most / total, reason)


def _between(lines: Iterable[ReviewedEpoch], first: float, last: float) -> list[ReviewedEpoch]:
    return [q for q in lines if first - 1e-9 <= q.day <= last + 1e-9]
