"""What detectors would have alarmed on in a request log, in tables and sentences. Knows no file."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import polars as pl

from experiments.campaign.logs.log_columns import HONEST
from experiments.campaign.logs.replay import Replayed
from experiments.campaign.measure.proportion import wilson
from experiments.campaign.report.naming import amount, in_percent, percent, percent_with_interval, spaced
from experiments.measure.estimate import Estimate
from experiments.report.spelling import Value, enumeration
from experiments.report.structure import Column, Table

INTERVALS = (
    "Brackets: 95 % Wilson intervals over accounts taken as independent. Accounts of one operation are found together, so "
    "another log differs by more than that."
)
DETECTOR = Column("detector", "detector", "text", 0)
UNKNOWN = "not said"


def tables_of(found: Replayed) -> tuple[Table, ...]:
    """Those for which there is anything to show: alarms first, then known labels, kinds, agreement, what was left out."""
    built = (alarm_table(found), known_table(found), kind_table(found), agreement_table(found), left_out_table(found))
    return tuple(table for table in built if table.rows)


def alarm_table(found: Replayed) -> Table:
    """A row for each detector: accounts, when first, groups, requests up to then."""
    columns = (
        DETECTOR,
        Column("judged", "accounts judged", "count"),
        Column("alarmed", "alarmed on", "count"),
        Column("share", "% of accounts", "number"),
        Column("first", "first alarm (UTC)", "text"),
        Column("median_day", "median day", "number"),
        Column("before", "requests before, all", "count", 2),
        Column("before_median", "median", "count", 2),
        Column("after", "requests after, all", "count", 2),
        Column("groups", "groups", "count", 2),
        Column("largest", "largest", "count", 2),
    )
    everybody = found.accounts.height
    rows: list[dict[str, Value]] = []
    for name in found.detectors:
        own, groups = (table.filter(pl.col("detector") == name) for table in (found.alarms, found.groups))
        total = own.join(found.accounts.select("account", "requests"), on="account")["requests"].sum()
        before = int(own["requests_before"].sum())
        first: Any = own["time"].min()
        rows.append(
            {
                "detector": spaced(name),
                "judged": int(found.accounts[f"score_{name}"].is_not_null().sum()),
                "alarmed": own.height,
                "share": in_percent(Estimate(own.height / everybody)),
                "first": None if first is None else _date(first),
                "median_day": None if first is None else round(float(own["day"].median()), 2),  # type: ignore[arg-type]
                "before": before,
                "before_median": None if first is None else float(own["requests_before"].median()),  # type: ignore[arg-type]
                "after": int(total) - before,
                "groups": groups.height,
                "largest": None if not groups.height else int(groups["size"].max()),  # type: ignore[arg-type]
            }
        )
    notes = (
        f"Fitted on {found.reference}.",
        "Judged: with enough requests for the detector. An alarm is raised at the end of an epoch; days count from "
        "the first midnight (UTC) of the log; requests before: those of the alarmed accounts up to their first alarm. A "
        "group that is found again counts again.",
    )
    titles = ("Alarms", "Requests and groups")
    return Table("log_alarms", "Alarms in the log", columns, tuple(rows), notes, titles)


def known_table(found: Replayed) -> Table:
    """A row for each detector, and for any of them: precision, recall, false alarms over accounts with a known label."""
    columns = (
        DETECTOR,
        Column("precision", "precision %", "number"),
        Column("recall", "recall %", "number"),
        Column("recall_requests", "requests caught %", "number"),
        Column("false_alarms", "false alarms %", "number"),
    )
    known = found.accounts.filter(pl.col("label").is_not_null())
    guilty = pl.col("label") != HONEST
    rows: list[dict[str, Value]] = []
    for name in (*found.detectors, ANY) if len(found.detectors) > 1 else found.detectors:
        if not known.height:
            break
        alarm = _alarm(found, name)
        counts = known.select(
            hit=(guilty & alarm).sum(), wrong=(~guilty & alarm).sum(), attack=guilty.sum(), honest=(~guilty).sum()
        ).row(0, named=True)
        caught = _requests_after(found, name, known.filter(guilty))
        rows.append(
            {
                "detector": spaced(name),
                "precision": in_percent(wilson(counts["hit"], counts["hit"] + counts["wrong"], "no alarm")),
                "recall": in_percent(
                    wilson(counts["hit"], counts["attack"], "no account is labelled as an attacker's")
                ),
                "recall_requests": in_percent(caught),
                "false_alarms": in_percent(wilson(counts["wrong"], counts["honest"], "no account is labelled honest")),
            }
        )
    notes = (
        f"Of {known.height:,} accounts with a label. Precision: of accounts alarmed on, those not labelled honest. Recall: "
        "of accounts not labelled honest. Requests caught: of their requests, those after the first alarm. False alarms: of "
        "accounts labelled honest.",
        INTERVALS,
    )
    return Table("log_known", "Against the known labels", columns, tuple(rows), notes)


def kind_table(found: Replayed) -> Table:
    """A row for each kind of account labelled honest: the share that each detector alarms on."""
    honest = found.accounts.filter(pl.col("label") == HONEST).with_columns(pl.col("kind").fill_null(UNKNOWN))
    columns = [Column("kind", "kind", "text", 0), Column("accounts", "accounts", "count", 0)]
    columns += [Column(f"alarm_{name}", f"{spaced(name)} %", "number") for name in found.detectors]
    rows: list[dict[str, Value]] = []
    if "kind" in found.log.has:
        for (kind,), own in sorted(honest.group_by("kind"), key=lambda pair: str(pair[0][0])):
            row: dict[str, Value] = {"kind": spaced(str(kind)), "accounts": own.height}
            for name in found.detectors:
                row[f"alarm_{name}"] = in_percent(wilson(int(own[f"alarm_{name}"].sum()), own.height))
            rows.append(row)
    return Table("log_kinds", "False alarms by kind of honest account", tuple(columns), tuple(rows), (INTERVALS,))


def agreement_table(found: Replayed) -> Table:
    """A row for each pair of detectors: accounts that both, and only one, alarmed on."""
    columns = (
        DETECTOR,
        Column("other", "and", "text", 0),
        Column("both", "both", "count"),
        Column("first", "only the first", "count"),
        Column("second", "only the second", "count"),
        Column("jaccard", "agreement", "share"),
    )
    rows: list[dict[str, Value]] = []
    for one, two in combinations(found.detectors, 2):
        a, b = (found.accounts[f"alarm_{name}"] for name in (one, two))
        both, either = int((a & b).sum()), int((a | b).sum())
        rows.append(
            {
                "detector": spaced(one),
                "other": spaced(two),
                "both": both,
                "first": int((a & ~b).sum()),
                "second": int((b & ~a).sum()),
                "jaccard": both / either if either else None,
            }
        )
    notes = ("Agreement: accounts alarmed on by both, of those alarmed on by either (Jaccard).",)
    return Table("log_agreement", "Agreement between detectors", columns, tuple(rows), notes)


def left_out_table(found: Replayed) -> Table:
    """A row for each detector that did not watch, and why."""
    columns = (DETECTOR, Column("why", "left out, because it", "text"))
    rows = tuple({"detector": spaced(one.detector), "why": one.why} for one in found.left_out)
    return Table("log_left_out", "Detectors that were left out", columns, rows)


ANY = "any"
"""All detectors together."""


def sentences_of(found: Replayed) -> tuple[str, ...]:
    """What the tables show."""
    log, refused = found.log, found.log.refused
    end = log.start + float(log.time[-1])
    said = [
        f"{amount(found.judged)} answered requests of {amount(found.accounts.height)} accounts were judged, from "
        f"{_date(log.start + max(float(log.time[0]), found.begins))} to {_date(end)} (UTC)"
        + (f"; {amount(refused)} requests that were refused are not among them." if refused else ".")
    ]
    known = found.accounts.filter(pl.col("label").is_not_null())
    for name in found.detectors:
        alarmed = found.accounts.filter(pl.col(f"alarm_{name}"))
        if not alarmed.height:
            said.append(f"{spaced(name)} would have alarmed on nobody.")
            continue
        share = percent(alarmed.height / found.accounts.height)
        text = f"{spaced(name)} would have alarmed on {amount(alarmed.height)} accounts ({share})"
        judged = alarmed.filter(pl.col("label").is_not_null())
        if judged.height:
            hit = judged.filter(pl.col("label") != HONEST).height
            attack = known.filter(pl.col("label") != HONEST).height
            text += f"; of those with a label {percent_with_interval(wilson(hit, judged.height))} are attackers'"
            if attack:
                text += f", which is {percent_with_interval(wilson(hit, attack))} of all attackers' accounts"
        said.append(text + ".")
    if not known.height:
        said.append("The log has no labels: how many of these alarms are true cannot be said.")
    if found.left_out:
        said.append(f"Left out: {enumeration([spaced(one.detector) for one in found.left_out])}; the table says why.")
    return tuple(said)


def _alarm(found: Replayed, name: str) -> pl.Expr:
    return pl.any_horizontal(f"alarm_{n}" for n in found.detectors) if name == ANY else pl.col(f"alarm_{name}")


def _requests_after(found: Replayed, name: str, accounts: pl.DataFrame) -> Estimate:
    """Share of the accounts' requests that came after the first alarm; without an interval: requests are not independent."""
    total = int(accounts["requests"].sum())
    if not total:
        return Estimate(None, reason="no account is labelled as an attacker's")
    alarms = found.alarms if name == ANY else found.alarms.filter(pl.col("detector") == name)
    first = alarms.group_by("account").agg(pl.col("requests_before").min())
    caught = accounts.join(first, on="account", how="inner")
    return Estimate(float((caught["requests"] - caught["requests_before"]).sum()) / total)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
