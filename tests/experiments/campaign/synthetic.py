"""Small random campaigns whose tables agree with each other, for tests. Nothing is simulated: behaviour is drawn."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.policy_summary import TransferRecord
from experiments.measure.estimate import Estimate

KINDS = (
    ("chat", False, 0.5),
    ("code", False, 0.3),
    ("reasoning", False, 0.12),
    ("ci", True, 0.05),
    ("audit", True, 0.03),
)
CAPABILITIES = ("reasoning", "coding")
NEVER = 10**6


def campaign(
    policy: str = "none",
    seed: int = 0,
    *,
    operations: Mapping[str, int] | None = None,
    providers: Sequence[str] = ("north",),
    detectors: Sequence[str] = ("linker", "window"),
    honest: int = 400,
    days: int = 14,
    grip: float = 0.0,
    rate: float = 20.0,
    preset: str = "synthetic",
) -> CampaignResult:
    """A campaign.

    Args:
        policy: name.
        seed: of everything drawn.
        operations: attack accounts of each; {"alpha": 60} where not given.
        providers: names; accounts are spread over them.
        detectors: names; the more ``grip``, the better they score.
        honest: number of honest accounts.
        days: epochs of a day each.
        grip: 0 nothing is ever done to anyone, 1 nearly every attack account is banned.
        rate: attack exchanges an account and day; 0: nothing is ever usable.
        preset: name.
    """
    rng = np.random.default_rng([seed, 7])
    operations = {"alpha": 60} if operations is None else operations
    owner = np.array([HONEST] * honest + [name for name, count in operations.items() for _ in range(count)])
    attack = owner != HONEST
    n = len(owner)
    where = rng.integers(0, len(providers), n)
    kind = np.where(attack, "distillation", rng.choice([k for k, _, _ in KINDS], n, p=[p for _, _, p in KINDS]))
    hard = np.isin(kind, [k for k, h, _ in KINDS if h])
    opened = np.where(attack & (rng.random(n) < 0.4), rng.integers(0, days, n), 0)
    alarm = _alarm_days(rng, attack, hard, opened, days, grip if detectors else 0.0)
    acted = np.where(rng.random(n) < 0.9, alarm + 1, NEVER)
    lost = np.where((acted < days) & (rng.random(n) < 0.3), acted, NEVER)
    banned = np.where((acted < days) & (lost == NEVER), acted, NEVER)
    end = np.minimum(banned, lost)

    day = np.arange(days)
    mean = np.where(attack, rate, np.minimum(rng.lognormal(1.0, 1.0, n), 60.0))
    alive = (day >= opened[:, None]) & (~attack[:, None] | (day < np.maximum(end, opened + 1)[:, None]))
    sent = rng.poisson(mean[:, None] * alive)  # (n, days)
    blocked = np.where(day >= end[:, None], sent, 0)
    refused = rng.binomial(sent - blocked, 0.01)
    served = sent - blocked - refused
    altered = rng.binomial(served, np.where(alarm[:, None] <= day, 0.5, 0.0))
    hidden = rng.binomial(served - altered, 0.02 * grip)
    distil = np.where(attack[:, None], rng.binomial(served, 0.7), 0)
    usable = np.minimum(distil, served - altered - hidden)

    epochs, harvest = [], []
    dollars = sent * np.where(attack, 0.004, 0.0)[:, None] + (day == opened[:, None]) * attack[:, None] * 1.5
    planned = {name: int(count * days * max(rate, 1.0) * 0.4) for name, count in operations.items()}
    for e in range(days):
        for p, provider in enumerate(providers):
            row: dict[str, object] = {"epoch": e, "day": float(e + 1), "provider": provider}
            for side, mask in (("honest", ~attack & (where == p)), ("attack", attack & (where == p))):
                flows = {"sent": sent, "served": served, "refused": refused, "blocked": blocked}
                flows |= {"hidden": hidden, "altered": altered}
                row |= {f"{side}_{name}": int(flow[mask, e].sum()) for name, flow in flows.items()}
                row |= {f"{side}_banned": int((banned[mask] == e).sum()), f"{side}_lost": int((lost[mask] == e).sum())}
            mine = attack & (where == p)
            row |= {
                "distil_usable": int(usable[mine, e].sum()),
                "attack_active": int(alive[mine, e].sum()),
                "attack_opened": int((opened[mine] == e).sum()),
                "alarms": int((alarm[where == p] == e).sum()),
                "alarms_true": int((alarm[mine] == e).sum()),
                "clusters": 0,
                "reviews": 0,
                "attack_dollars": float(dollars[mine, e].sum()),
                "indicators_sent": 0,
                "indicators_received": 0,
                "indicators_true": 0,
            }
            epochs.append(row)
            for name in operations:
                own = (owner == name) & (where == p)
                totals = [int(x[own, e].sum()) for x in (usable, hidden, altered, refused + blocked)]
                for c, capability in enumerate(CAPABILITIES):
                    u, h, a, r = (t // 2 if c else t - t // 2 for t in totals)
                    flow = {
                        "usable": u,
                        "hidden": h,
                        "altered": a,
                        "refused": r,
                        "contaminated": 0,
                        "sent": u + h + a + r,
                    }
                    head = {"epoch": e, "provider": provider, "operation": name, "capability": capability}
                    harvest.append(head | {"planned": planned[name]} | flow)

    clusters, cluster, edges = _groups(rng, owner, where, providers, alarm, days, detectors)
    columns: dict[str, object] = {
        "provider": np.array(providers)[where],
        "account": np.arange(n),
        "operation": owner,
        "kind": kind,
        "hard_negative": hard,
        "opened_day": opened.astype(float),
        "requests": sent.sum(1),
        "served": served.sum(1),
        "refused": refused.sum(1),
        "blocked": blocked.sum(1),
        "altered": altered.sum(1),
        "distil_usable": usable.sum(1),
        "dollars": dollars.sum(1),
        "rung": np.where(banned < days, 6, np.where(alarm < days, 1, 0)),
        "cluster": cluster,
    }
    for name, when in (("first_alarm", alarm), ("acted", acted), ("banned", banned), ("lost", lost)):
        columns[f"{name}_day"] = [float(w) if w < days else None for w in when]
    for d, name in enumerate(detectors):
        score = rng.normal(0, 1, n) + attack * (0.5 + 3 * grip + 0.4 * d) + hard * 0.8
        judged = rng.random(n) < np.where(attack, 0.95, 0.7)
        columns[f"score_{name}"] = [float(s) if j else None for s, j in zip(score, judged, strict=True)]
        columns[f"alarm_{name}"] = judged & (alarm < days)
    facts = {
        "days": days,
        "epoch_hours": 24,
        "operations": {k: {"exchanges": 2 * planned[k], "accounts": v, "days": days} for k, v in operations.items()},
        "providers": list(providers),
        "events": [],
        "seconds": 1.0,
        "peak_memory": 1,
        "dollars": {k: {"all": float(dollars[owner == k].sum())} for k in operations},
        "encoder": "hashing",
        "config": {},
    }
    return CampaignResult(
        preset,
        policy,
        seed,
        facts,
        pl.DataFrame(epochs),
        pl.DataFrame(harvest, schema=None if harvest else HARVEST),
        pl.DataFrame(columns, infer_schema_length=None),
        clusters,
        edges,
    )


HARVEST = {
    **dict.fromkeys(("provider", "operation", "capability"), pl.String()),
    **dict.fromkeys(("epoch", "planned", "sent", "refused", "usable", "hidden", "altered", "contaminated"), pl.Int64()),
}
CLUSTERS = {
    **dict.fromkeys(("provider", "detector", "main_operation"), pl.String()),
    **dict.fromkeys(("size", "attackers", "honest", "operations", "main_count"), pl.Int64()),
    "day": pl.Float64(),
    "acted": pl.Boolean(),
}
EDGES = {"provider": pl.String(), "a": pl.Int64(), "b": pl.Int64(), "weight": pl.Float64()}


def transfers(
    results: Sequence[CampaignResult], extrapolated: bool = False
) -> dict[tuple[str, int], list[TransferRecord]]:
    """A transfer for each capability that grows with the share of the plan that was harvested."""
    found = {}
    for r in results:
        rows = r.harvest.group_by("capability").agg(pl.col("usable").sum(), pl.col("sent").sum()).sort("capability")
        found[r.policy, r.seed] = [
            TransferRecord(
                c, "chain", Estimate(s := u / max(t, 1), 0.9 * s, min(1.0, 1.1 * s)), extrapolated, "answers"
            )
            for c, u, t in rows.iter_rows()
        ]
    return found


def _alarm_days(rng, attack, hard, opened, days, grip):
    """When each account is first alarmed on; `NEVER` for most honest ones and, with little grip, for most attackers."""
    chance = np.where(attack, 0.95 * grip, np.where(hard, 0.15 * grip, 0.02 * grip))
    when = opened + 1 + rng.integers(0, 4, len(attack))
    return np.where((rng.random(len(attack)) < chance) & (when < days), when, NEVER)


def _groups(rng, owner, where, providers, alarm, days, detectors):
    """One group for each provider: whoever was alarmed on; linked at random."""
    cluster = np.full(len(owner), -1)
    rows, edges = [], []
    for p, provider in enumerate(providers):
        members = np.flatnonzero((where == p) & (alarm < days))
        if len(members) < 3:
            continue
        cluster[members] = len(rows)
        names, counts = np.unique(owner[members][owner[members] != HONEST], return_counts=True)
        rows.append(
            {
                "provider": provider,
                "day": float(days),
                "detector": detectors[0],
                "size": len(members),
                "attackers": int(counts.sum()),
                "honest": len(members) - int(counts.sum()),
                "operations": len(names),
                "main_operation": str(names[counts.argmax()]) if len(names) else HONEST,
                "main_count": int(counts.max()) if len(names) else 0,
                "acted": bool(p == 0),
            }
        )
        if not edges:
            for i, a in enumerate(members[1:], start=1):
                for b in rng.choice(members[:i], min(i, 3), replace=False):
                    edges.append({"provider": provider, "a": int(a), "b": int(b), "weight": float(rng.random())})
    return (
        pl.DataFrame(rows, schema=None if rows else CLUSTERS),
        cluster,
        pl.DataFrame(edges, schema=None if edges else EDGES),
    )
