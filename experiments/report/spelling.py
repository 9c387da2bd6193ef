"""How a number is spelled in a table: no leading zero, a real minus, two decimals; the same in every format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from configs.text import one_line
from experiments.measure.estimate import Estimate
from experiments.measure.matched import CHORD, INTERPOLATED

Kind = Literal["text", "share", "number", "count", "dollars", "seconds", "p"]
"""``share``: an accuracy, a transfer or any other number around [0, 1]."""

Value = str | int | float | Estimate | None
BLANK = "–"
MARKS = {INTERPOLATED: "‡", CHORD: "†"}
"""Signs behind a value that was read off a curve; `LEGEND` stands beneath a table that has one."""
LEGEND = {
    INTERPOLATED: "‡ interpolated between two measured strengths",
    CHORD: "† on the straight line from no defense to the weakest strength that costs honest users anything",
}


def spell(value: Value, kind: Kind) -> str:
    """One value as text; an estimate without its interval; `BLANK` for None."""
    if isinstance(value, Estimate):
        return spell(value.value, kind) + MARKS.get(value.mark, "")
    if value is None:
        return BLANK
    if isinstance(value, str):
        return one_line(value)
    if kind == "p":
        return "<.001" if value < 0.001 else share(value, 3)
    if kind in ("share", "text") and isinstance(value, float):
        return share(value)
    if kind == "count":
        return f"{round(value):,}"
    if kind == "dollars":
        return f"${value:,.2f}" if abs(value) >= 0.1 or value == 0 else f"${value:.2g}"
    if kind == "seconds":
        return f"{value:,.0f} s" if abs(value) >= 100 else f"{value:.1f} s"
    return str(value).replace("-", "−")


def interval(value: Value, kind: Kind) -> str:
    """``[low, high]`` of an estimate, '' for anything without an interval."""
    if not isinstance(value, Estimate) or value.low is None or value.high is None:
        return ""
    return f"[{spell(value.low, kind)}, {spell(value.high, kind)}]"


def with_interval(value: Value, kind: Kind) -> str:
    """``.95 [.93, .97]``."""
    limits = interval(value, kind)
    return f"{spell(value, kind)} {limits}" if limits else spell(value, kind)


def share(value: float, decimals: int = 2) -> str:
    """``.95``, ``1.00``, ``−.03``; a value that rounds to 0 has no sign."""
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text[1:]
    return ("−" if value < 0 else "") + (text[1:] if text.startswith("0.") else text)


def enumeration(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
