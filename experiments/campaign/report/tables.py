"""The campaign's main table: a row for each policy."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.naming import amount_with_interval, in_percent, per, policy_name, scaled, spaced
from experiments.report.spelling import Value, with_interval
from experiments.report.structure import Column, Table

BLOCKS = ("Harvest", "Harvested before action (exchanges)", "Honest users", "Transfer to the student")

POLICY = Column("policy", "policy", "text", 0)
HEAD = (POLICY, Column("seeds", "seeds", "count", 0))

COLUMNS = (
    Column("usable", "usable exchanges", "count", 1),
    Column("usable_share", "% of plan", "number", 1),
    Column("last_day", "last day", "number", 1),
    Column("burnt", "accounts burnt", "count", 1),
    Column("burnt_share", "% burnt", "number", 1),
    Column("dollars_per_usable", "$ per usable", "dollars", 1),
    Column("banned_harvest", "mean of a banned account", "count", 2),
    Column("banned_harvest_median", "median", "count", 2),
    Column("banned_harvest_total", "all banned", "count", 2),
    Column("untouched_harvest_total", "all never acted on", "count", 2),
    Column("honest_refused", "429 %", "number", 3),
    Column("honest_hidden", "hidden %", "number", 3),
    Column("honest_altered", "altered %", "number", 3),
    Column("honest_banned", "banned", "count", 3),
    Column("honest_banned_rate", "banned of 100,000", "count", 3),
    Column("honest_lost", "lost", "count", 3),
    Column("honest_lost_rate", "lost of 100,000", "count", 3),
)


def policy_table(summaries: Sequence[PolicySummary], note: str) -> Table:
    """One row per policy: harvest, cost, what honest users bore, and what reaches the student where it was given.

    Args:
        summaries: of one preset.
        note: how exchanges of the campaign stand for queries of the laboratory; printed beneath where transfer is
        shown.
    """
    capabilities = list(dict.fromkeys(record.capability for s in summaries for record in s.transfer))
    transfer = tuple(Column(f"transfer_{name}", spaced(name), "share", 4) for name in capabilities)
    notes = [
        _planned(summaries),
        "Usable: as the teacher gave it, nothing hidden or altered. Burnt: banned or lost. "
        "$: tokens, accounts, proxies and identities of all operations. "
        "429: of honest requests; hidden, altered: of honest answers; lost: gave up or failed verification.",
        brackets(summaries),
    ]
    if capabilities:
        notes += [_uses(summaries), note.strip()]
        if any(record.extrapolated for s in summaries for record in s.transfer):
            notes.append("* outside of what was measured in the laboratory: an extrapolation of the fitted curve.")
        notes.append(
            "Brackets of transfer: intervals of the fitted curve; with several seeds from the lowest to the highest."
        )
    return Table(
        "campaign",
        f"Campaign {summaries[0].results[0].preset}",
        HEAD + COLUMNS + transfer,
        tuple(_row(s) for s in summaries),
        tuple(text for text in notes if text),
        BLOCKS if capabilities else BLOCKS[:3],
    )


def brackets(summaries: Sequence[PolicySummary]) -> str:
    """What the brackets of a table are."""
    single = any(len(s.seeds) == 1 for s in summaries)
    several = any(len(s.seeds) > 1 for s in summaries)
    one = (
        "95 % Wilson intervals over accounts taken as independent (by requests: with their effective number). Accounts of "
        "one operation are found together, so campaigns differ by more than that"
    )
    many = "the range over seeds about the mean, which is no confidence interval"
    if single and several:
        return f"Brackets: with one seed {one}; with several {many}."
    return f"Brackets: {many if several else one}."


def range_note(summaries: Sequence[PolicySummary]) -> tuple[str, ...]:
    """For tables whose numbers have no interval with one seed."""
    return ("Brackets: the range over seeds about the mean.",) if any(len(s.seeds) > 1 for s in summaries) else ()


def _planned(summaries: Sequence[PolicySummary]) -> str:
    plans = list(dict.fromkeys(amount_with_interval(s.of("planned")) for s in summaries))
    return f"Planned: {' or '.join(plans)} exchanges."


def _uses(summaries: Sequence[PolicySummary]) -> str:
    parts = [
        f"{policy_name(s.policy)}: "
        + ", ".join(f"{spaced(r.capability)} from {spaced(r.use)} ({spaced(r.family)})" for r in s.transfer)
        for s in summaries
        if s.transfer
    ]
    return "What the student is trained on (family of the laboratory that stands for it): " + "; ".join(parts) + "."


def _row(s: PolicySummary) -> dict[str, Value]:
    row: dict[str, Value] = {c.key: s.of(c.key) for c in COLUMNS}
    row |= {key: in_percent(s.of(key)) for key in ("usable_share", "burnt_share")}
    row |= {key: in_percent(s.of(key)) for key in ("honest_refused", "honest_hidden", "honest_altered")}
    row |= {f"{key}_rate": per(s.of(f"{key}_share"), 1e5) for key in ("honest_banned", "honest_lost")}
    row["last_day"] = scaled(s.of("last_day"), 1.0)
    for record in s.transfer:
        starred = with_interval(record.transfer, "share") + "*"
        row[f"transfer_{record.capability}"] = (
            starred if record.extrapolated and record.transfer.value is not None else record.transfer
        )
    return row | {"policy": policy_name(s.policy), "seeds": len(s.seeds)}
