"""Every measure of every configuration as tidy CSV: one line per configuration and measure, in full precision."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from experiments.measure.estimate import Estimate
from experiments.measure.losses import loss_verdicts
from experiments.measure.row import flat
from experiments.measure.summary import Summary
from experiments.report.cells import PlainWriter
from experiments.report.matched_table import Comparison
from experiments.store.maintenance.lineage import COLUMNS, joined

MEASURE = ("measure", "family", "decoding", "grader", "value", "low", "high", "seeds", "p", "freedom", "mark", "reason")


def render(summaries: Sequence[Summary], found: Sequence[Comparison]) -> str:
    """Comma-separated text with a header.

    Blank values are empty with their reason; ``p`` is of 0, uncorrected; ``freedom`` are the degrees of freedom of the
    interval, empty where it speaks of the items of these seeds alone. ``transfer_lost_corrected`` has interval and p
    corrected for the losses of the report, its reading as the reason, and so have differences at a drop. Measures taken
    at a matched drop stand at the end: their ``measure`` is ``student_at_drop``, ``slack_at_drop`` (how much
    lower it is at most if the curve is convex) or ``difference_at_drop``, their ``drop`` the drop of honest accuracy,
    and their ``mark`` how they were read off the curve. The last columns say where a line comes from
    (`experiments.store.maintenance.lineage.COLUMNS`).
    """
    keys = sorted({key for s in summaries for key in s.configuration} - {"settings"})
    columns = [*keys, *MEASURE, "drop", "compared_with", *COLUMNS]
    out = io.StringIO()
    writer = PlainWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    judged = loss_verdicts(summaries)
    for i, s in enumerate(summaries):
        head = {key: _text(flat(s.configuration.get(key))) for key in keys} | {
            "defense": s.defense,
            "attack": s.attack,
            "seeds": len(s.seeds),
            **s.lineage.told(),
        }
        for measure, estimate in s.estimates.items():
            tail = dict(zip(("measure", "family", "decoding", "grader"), measure, strict=True))
            writer.writerow(head | tail | _estimate(estimate))
        for pair, agreed in s.agreements.items():
            tail = {"measure": f"kappa_{pair.texts}", "family": pair.judge, "grader": pair.other}
            given = Estimate(agreed.kappa, agreed.low, agreed.high, f"{agreed.n} texts")
            writer.writerow(head | tail | _estimate(given))
        for name, value in s.facts.items():
            writer.writerow(head | {"measure": f"attack_{name}"} | _estimate(Estimate(value)))
        for family in s.families:
            if (i, family) in judged:
                tail = {
                    "family": family,
                    "decoding": s.decoding,
                    "grader": "strict",
                    "reason": judged[i, family].reading,
                }
                loss = _estimate(judged[i, family].estimate) | {"p": _text(judged[i, family].p)}
                writer.writerow(head | loss | tail | {"measure": "transfer_lost_corrected"})
    for c in found:
        for name, estimate in c.accuracy.items():
            head = _at_drop(c, name)
            writer.writerow(head | {"measure": "student_at_drop"} | _estimate(estimate))
            if c.slack.get(name):
                writer.writerow(head | {"measure": "slack_at_drop", "value": _text(c.slack[name])})
        for (first, second), verdict in c.difference.items():
            head = _at_drop(c, first, second) | {"compared_with": second, "measure": "difference_at_drop"}
            writer.writerow(head | _estimate(verdict.estimate) | {"p": _text(verdict.p)})
    return out.getvalue()


def _at_drop(c: Comparison, *defenses: str) -> dict[str, Any]:
    origin = joined(c.lineage[name] for name in defenses if name in c.lineage)
    place = {"defense": defenses[0], "attack": c.setting, "family": c.family, "drop": _text(c.drop)}
    return place | origin.told()


def _estimate(e: Estimate) -> dict[str, str]:
    numbers = {name: _text(getattr(e, name)) for name in ("value", "low", "high", "p", "freedom")}
    return numbers | {"mark": e.mark, "reason": e.reason}


def _text(value: object) -> str:
    """Twelve significant digits: more would differ with the order in which a machine adds."""
    if isinstance(value, float):
        return f"{value:.12g}"
    return "" if value is None else str(value)
