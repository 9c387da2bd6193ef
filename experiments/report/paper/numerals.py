"""How a paper's table spells numbers: shares in per cent or not, to a stated number of decimals, in every format alike."""

from __future__ import annotations

from experiments.measure.estimate import Estimate
from experiments.report.paper.table_spec import TableSpec
from experiments.report.spelling import BLANK, MARKS, Kind, Value

DECIMALS = {"count": 0, "dollars": 2, "seconds": 1, "number": 2, "p": 3}


def plain_number(value: float, kind: Kind, spec: TableSpec) -> str:
    """Digits with a plain minus and no unit: ``-3.1``; what rounds to 0 has no sign."""
    percent = spec.percent and kind == "share"
    decimals = spec.decimals if kind == "share" else DECIMALS[kind]
    text = f"{100 * value if percent else value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def numeral(value: Value, kind: Kind, spec: TableSpec) -> str:
    """Without its interval; with the mark of what was read off a curve."""
    if isinstance(value, Estimate):
        return numeral(value.value, kind, spec) + MARKS.get(value.mark, "")
    if value is None or isinstance(value, str):
        return value or BLANK
    text = plain_number(float(value), kind, spec).replace("-", "−")
    if kind == "count":
        return f"{round(value):,}".replace("-", "−")
    return f"${text}" if kind == "dollars" else f"{text} s" if kind == "seconds" else text


def bracket(value: Value, kind: Kind, spec: TableSpec) -> str:
    """``[93.1, 97.0]``; "" without an interval."""
    if spec.intervals == "none" or not isinstance(value, Estimate) or value.low is None or value.high is None:
        return ""
    low, high = (plain_number(x, kind, spec).replace("-", "−") for x in (value.low, value.high))
    return f"[{low}, {high}]"
