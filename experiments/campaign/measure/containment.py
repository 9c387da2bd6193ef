"""How long an operation is at work before it is contained: until so many of its accounts are gone, or its harvest stops."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.key import Key
from experiments.measure.estimate import Estimate

SHARES = (0.5, 0.9)
"""Of an operation's accounts that are gone."""
SILENCE = 1.0
"""Days without a usable exchange before the end of its plan, from which on an operation's harvest has stopped."""
ANSWERED = ("usable", "hidden", "altered", "contaminated")


def containment(result: CampaignResult) -> dict[Key, Estimate]:
    """For the campaign and each operation, days since its first answered exchange, and usable exchanges so far.

    ``days_to_gone_50`` and ``exchanges_to_gone_50`` (and 90): until that share of all accounts that it ever had was
    banned or lost to verification. ``days_to_stop`` and ``exchanges_to_stop``: until its last usable exchange, if its plan
    was not carried out by then and at least `SILENCE` was left of it. Blank where that never came. ``contained_gone_50``,
    ``contained_gone_90`` and ``contained_stop``: 1 where it did, 0 where not, so that over seeds it is the share of them.

    Days count from the beginning of the epoch of the first exchange and end with an epoch.
    """
    ends = _ends(result.facts)
    attack = result.accounts.filter(pl.col("operation") != HONEST)
    found = _of(result, "", "", result.harvest, attack, max(ends.values(), default=0.0))
    names = set(result.harvest["operation"].to_list()) | set(attack["operation"].to_list())
    for name in sorted(str(o) for o in names if o):
        own = result.harvest.filter(pl.col("operation") == name)
        accounts = attack.filter(pl.col("operation") == name)
        found |= _of(result, "operation", name, own, accounts, ends.get(name, 0.0))
    return found


def _of(
    result: CampaignResult, part: str, of: str, own: pl.DataFrame, accounts: pl.DataFrame, end: float
) -> dict[Key, Estimate]:
    days = result.epochs.group_by("epoch").agg(pl.col("day").max())
    flow = (
        own.group_by("epoch")
        .agg(pl.sum_horizontal(ANSWERED).sum().alias("answered"), pl.col("usable").sum())
        .join(days, on="epoch", how="inner")
        .sort("epoch")
    )
    first = flow.filter(pl.col("answered") > 0)["day"].min()
    if not isinstance(first, float):
        blank = Estimate(None, reason="no exchange was answered")
        names = [f"{what}_{goal}" for goal in _goals() for what in ("days_to", "exchanges_to", "contained")]
        return {Key(name, part, of): blank for name in names}
    begin = first - float(result.facts.get("epoch_hours", 24.0)) / 24.0
    gone = accounts.select(pl.min_horizontal("banned_day", "lost_day").alias("day"))["day"].drop_nulls().sort()
    reached: dict[str, float | None] = {}
    for share, goal in zip(SHARES, _goals(), strict=False):
        needed = math.ceil(share * accounts.height - 1e-9)
        reached[goal] = float(gone[needed - 1]) if 0 < needed <= gone.len() else None
    planned = float(own.group_by("operation", "capability").agg(pl.col("planned").max())["planned"].sum())
    last = flow.filter(pl.col("usable") > 0)["day"].max()
    silent = isinstance(last, float) and end - last >= SILENCE - 1e-9 and float(flow["usable"].sum()) < planned
    reached["stop"] = last if silent and isinstance(last, float) else None
    found: dict[Key, Estimate] = {}
    for goal, day in reached.items():
        never = Estimate(None, reason="never")
        passed = 0.0 if day is None else float(flow.filter(pl.col("day") <= day + 1e-9)["usable"].sum())
        found |= {
            Key(f"days_to_{goal}", part, of): never if day is None else Estimate(max(0.0, day - begin)),
            Key(f"exchanges_to_{goal}", part, of): never if day is None else Estimate(passed),
            Key(f"contained_{goal}", part, of): Estimate(float(day is not None)),
        }
    return found


def _goals() -> list[str]:
    return [*(f"gone_{100 * share:.0f}" for share in SHARES), "stop"]


def _ends(facts: Mapping[str, Any]) -> dict[str, float]:
    """The day on which the plan of each operation ends, at the latest that of the campaign."""
    config = facts.get("config") or {}
    told = _pairs(config.get("operations") or [])
    found = {}
    for name, known in _pairs(facts.get("operations") or {}):
        start = next((float(own.get("start_day", 0.0)) for other, own in told if other == name), 0.0)
        found[str(name)] = min(start + float(known["days"]), float(facts.get("days", math.inf)))
    return found


def _pairs(node: Any) -> Iterable[tuple[str, Any]]:
    """Named parts: a mapping, or a list of pairs where their order matters."""
    return list(node.items()) if isinstance(node, Mapping) else [(str(name), part) for name, part in node]
