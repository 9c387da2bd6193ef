"""What other thresholds of a detector would trade: as a table at a few false-alarm rates, as tidy CSV at more of them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from experiments.campaign.measure.detection import ANY, detectors
from experiments.campaign.measure.key import Key, Measured
from experiments.campaign.measure.policy_summary import PolicySummary, over_seeds
from experiments.campaign.measure.roc import RATES
from experiments.campaign.measure.thresholds import LADDER, at_rate, sweep
from experiments.campaign.report.naming import detector_name, in_percent, policy_name, rate_name
from experiments.campaign.report.tables import POLICY, brackets
from experiments.report.cells import PlainWriter
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

SHOWN = {"false_alarms": "honest alarmed %", "hard": "hard negatives %", "caught": "attackers caught %",
         "passing": "harvest that passes %"}  # fmt: skip
READ = (
    "Harvest that passes: usable exchanges of accounts that are not over the threshold, as a share of all. It is the least "
    "that passes, as accounts over it harvest too until they are noticed; and the campaign is taken as it went, though "
    "other thresholds would have changed it."
)
CSV_COLUMNS = ("preset", "policy", "seed", "detector", "rate", "measure", "value", "low", "high", "reason")


def threshold_table(summaries: Sequence[PolicySummary]) -> Table:
    """A row for each policy, detector and threshold: that in force, and those of `RATES`."""
    columns = (
        POLICY,
        Column("detector", "detector", "text", 0),
        Column("at", "threshold", "text", 0),
        *(Column(key, title, "number") for key, title in SHOWN.items()),
    )
    rows: list[dict[str, Value]] = []
    for s in summaries:
        names = [name for name in s.names("detector") if name != ANY]
        for name in (*names, ANY) if len(names) > 1 else names:
            head: dict[str, Value] = {"policy": policy_name(s.policy), "detector": detector_name(name)}
            for at, keys in (("in force", IN_FORCE), *((f"for {rate_name(r)}", of_rate(r)) for r in RATES)):
                row: dict[str, Value] = {c: in_percent(s.of(key, "detector", name)) for c, key in keys.items()}
                if any(s.of(key, "detector", name).value is not None for key in keys.values()):
                    rows.append(head | {"at": at} | row)
    notes = (
        "In force: the detector's own threshold. For 1 %: the loosest that at most so many of the honest accounts are over, "
        "read off the highest score that each account ever had. That is known only afterwards, and alarms of groups may "
        "depend on more than a score: the threshold in force can do worse than the curve.",
        READ,
        brackets(summaries),
    )
    return Table("thresholds", "What a threshold trades", columns, tuple(rows), notes)


IN_FORCE = {"false_alarms": "false_alarms", "hard": "false_alarms_hard", "caught": "caught", "passing": "passing"}
"""Columns of the table -> measures at the detector's own threshold."""


def of_rate(rate: float) -> dict[str, str]:
    """Columns of the table -> measures at a false-alarm rate of `RATES`."""
    names = {"false_alarms": "false_alarms", "hard": "hard", "caught": "tpr", "passing": "passing"}
    return {column: f"{name}_{rate:.0e}" for column, name in names.items()}


def curve_points(s: PolicySummary, detector: str) -> dict[float, Measured]:
    """By false-alarm rate of `LADDER`, what `at_rate` says of the seeds together; keys are its field names."""
    return {rate: over_seeds(own) for rate, own in by_seed(s, detector).items()}


def by_seed(s: PolicySummary, detector: str) -> dict[float, list[Measured]]:
    """By false-alarm rate, what `at_rate` says of each seed that the detector watched in."""
    swept = [sweep(r, detector) for r in s.results if detector in detectors(r)]
    return {
        rate: [{Key(name): e for name, e in at_rate(own, rate)._asdict().items()} for own in swept] for rate in LADDER
    }


def render_thresholds(summaries: Sequence[PolicySummary]) -> str:
    """Tidy CSV with a header: a line for each policy, seed, detector, false-alarm rate and measure (fields of
    `experiments.campaign.measure.thresholds.ThresholdPoint`). Of ``seed`` = ``all``: the mean of several and their range."""
    out = io.StringIO()
    writer = PlainWriter(out, CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for s in summaries:
        for name in (name for name in s.names("detector") if name != ANY):
            seeds = [str(seed) for seed, r in zip(s.seeds, s.results, strict=True) if name in detectors(r)]
            head = {"preset": s.results[0].preset, "policy": s.policy, "detector": name}
            for rate, own in by_seed(s, name).items():
                lines = [*zip(seeds, own, strict=True), *([("all", over_seeds(own))] if len(own) > 1 else [])]
                for seed, measured in lines:
                    writer.writerows(head | {"seed": seed, "rate": f"{rate:g}"} | line for line in _lines(measured))
    return out.getvalue()


def _lines(measured: Measured) -> list[dict[str, str]]:
    """Twelve significant digits: more would differ with the order in which a machine adds."""
    lines = []
    for key, e in measured.items():
        numbers = {"value": e.value, "low": e.low, "high": e.high}
        told = {part: "" if x is None else f"{x:.12g}" for part, x in numbers.items()}
        lines.append({"measure": key.measure} | told | {"reason": e.reason})
    return lines
