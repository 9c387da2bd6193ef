"""What honest users bore: refusals, bans, verification, answers that were changed."""

from __future__ import annotations

import polars as pl

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.proportion import ratio, wilson
from experiments.measure.estimate import Estimate


def harm(result: CampaignResult) -> dict[Key, Estimate]:
    """Honest requests and accounts.

    ``honest_accounts``; ``honest_refused`` (429) and ``honest_blocked`` as shares of requests sent; ``honest_hidden``
    and ``honest_altered`` as shares of requests served; ``honest_banned``, ``honest_lost`` (to verification) and
    ``honest_gone`` (either) accounts, and the same with ``_share`` as shares of the honest accounts, with an interval.
    """
    totals = {name: float(result.epochs[f"honest_{name}"].sum()) for name in _REQUESTS}
    honest = result.accounts.filter(pl.col("operation") == HONEST)
    banned, lost = pl.col("banned_day").is_not_null(), pl.col("lost_day").is_not_null()
    gone = {"honest_banned": banned, "honest_lost": lost, "honest_gone": banned | lost}
    counts = {name: honest.filter(which).height for name, which in gone.items()}
    return {
        Key("honest_accounts"): Estimate(float(honest.height)),
        Key("honest_sent"): Estimate(totals["sent"]),
        **{Key(f"honest_{w}"): ratio(totals[w], totals["sent"], "no honest request") for w in ("refused", "blocked")},
        **{
            Key(f"honest_{w}"): ratio(totals[w], totals["served"], "no honest request was served")
            for w in ("hidden", "altered")
        },
        **{Key(name): Estimate(float(count)) for name, count in counts.items()},
        **{Key(f"{name}_share"): wilson(count, honest.height) for name, count in counts.items()},
    }


_REQUESTS = ("sent", "served", "refused", "blocked", "hidden", "altered")


def by_provider(result: CampaignResult) -> dict[Key, Estimate]:
    """Where the attack went and what it met there: per provider ``usable`` exchanges, ``attack_banned`` and
    ``honest_banned`` accounts, and the share ``honest_refused``."""
    found: dict[Key, Estimate] = {}
    banned = result.accounts.filter(pl.col("banned_day").is_not_null())
    for name in sorted(str(p) for p in result.epochs["provider"].unique().to_list()):
        own, gone = result.epochs.filter(pl.col("provider") == name), banned.filter(pl.col("provider") == name)
        found |= {
            Key("usable", "provider", name): Estimate(float(own["distil_usable"].sum())),
            Key("attack_banned", "provider", name): Estimate(float((gone["operation"] != HONEST).sum())),
            Key("honest_banned", "provider", name): Estimate(float((gone["operation"] == HONEST).sum())),
            Key("honest_refused", "provider", name): ratio(
                float(own["honest_refused"].sum()), float(own["honest_sent"].sum()), "no honest request"
            ),
        }
    return found
