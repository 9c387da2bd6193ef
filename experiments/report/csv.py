"""Every measure of every configuration as tidy CSV: one line per configuration and measure, in full precision."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from experiments.measure.quantity import Estimate
from experiments.measure.result import FACTS
from experiments.measure.row import flat
from experiments.measure.summary import Summary
from experiments.report.cells import PlainWriter
from experiments.report.matched_table import Comparison
from experiments.report.table import p_values

MEASURE = ("measure", "family", "decoding", "grader", "value", "low", "high", "seeds", "reason")


def render(summaries: Sequence[Summary], found: Sequence[Comparison]) -> str:
    """Comma-separated text with a header.

    Blank values are empty with their reason. Measures taken at a matched drop stand at the end: their ``measure`` is
    ``student_at_drop`` or ``difference_at_drop`` and their ``drop`` the drop of honest accuracy.
    """
    keys = sorted({key for s in summaries for key in s.configuration} - {"settings"})
    columns = [*keys, *MEASURE, "drop", "compared_with"]
    out = io.StringIO()
    writer = PlainWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    adjusted = p_values(summaries)
    for i, s in enumerate(summaries):
        head = {key: _text(flat(s.configuration.get(key))) for key in keys} | {
            "defense": s.defense,
            "attack": s.attack,
            "seeds": len(s.seeds),
        }
        for measure, estimate in s.estimates.items():
            tail = dict(zip(("measure", "family", "decoding", "grader"), measure, strict=True))
            writer.writerow(head | tail | _estimate(estimate))
        for name in FACTS:
            writer.writerow(head | {"measure": f"attack_{name}"} | _estimate(Estimate(s.facts[name])))
        for family, test in sorted(s.tests.items()):
            tail = {"family": family, "decoding": s.decoding, "grader": "strict"}
            writer.writerow(head | tail | {"measure": "mcnemar_p"} | _estimate(_number(test.p)))
            if (i, family) in adjusted:
                writer.writerow(head | tail | {"measure": "mcnemar_p_holm"} | _estimate(_number(adjusted[i, family])))
    for c in found:
        for name, estimate in c.accuracy.items():
            writer.writerow(_at_drop(c) | {"defense": name, "measure": "student_at_drop"} | _estimate(estimate))
        for name, estimate in c.difference.items():
            head = _at_drop(c) | {"defense": c.reference, "compared_with": name}
            writer.writerow(head | {"measure": "difference_at_drop"} | _estimate(estimate))
    return out.getvalue()


def _at_drop(c: Comparison) -> dict[str, Any]:
    return {"attack": c.setting, "family": c.family, "drop": _text(c.drop)}


def _number(value: float) -> Estimate:
    return Estimate(None if value != value else value)


def _estimate(e: Estimate) -> dict[str, str]:
    return {"value": _text(e.value), "low": _text(e.low), "high": _text(e.high), "reason": e.reason}


def _text(value: object) -> str:
    """Twelve significant digits: more would differ with the order in which a machine adds."""
    if isinstance(value, float):
        return f"{value:.12g}"
    return "" if value is None else str(value)
