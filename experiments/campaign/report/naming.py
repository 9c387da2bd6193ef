"""How policies, amounts and shares of campaigns are called and spelled in tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.campaign.measure.detection import ANY
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.measure.estimate import Estimate
from experiments.report.spelling import BLANK

UNDEFENDED = ("none", "undefended")
"""Names of the policy under which nothing is done; others are compared with it where it was run."""


def ordered(summaries: Sequence[PolicySummary]) -> list[PolicySummary]:
    """The undefended run first, then as given."""
    return sorted(summaries, key=lambda s: s.policy not in UNDEFENDED)


def reference(summaries: Sequence[PolicySummary]) -> PolicySummary | None:
    """The undefended run, if there is one."""
    return next((s for s in summaries if s.policy in UNDEFENDED), None)


def spaced(name: str) -> str:
    """``reasoning_audit`` as ``reasoning audit``."""
    return name.replace("_", " ")


def policy_name(name: str) -> str:
    """A policy as it is printed."""
    return UNDEFENDED[1] if name in UNDEFENDED else spaced(name)


def detector_name(name: str) -> str:
    """A detector, or all together."""
    return "any of them" if name == ANY else spaced(name)


def rate_name(rate: float) -> str:
    """A false-alarm rate: ``1 %``, ``0.01 %``."""
    return f"{100 * rate:g} %"


def amount(value: float) -> str:
    """``1,030``, ``3.2 million``."""
    if abs(value) >= 999_500:
        return f"{value / 1e6:,.1f} million"
    return f"{round(value):,}"


def percent(value: float) -> str:
    """``20 %``, ``2.5 %``, ``0.31 %``; two significant digits below 10."""
    scaled = 100 * value
    return f"{_significant(scaled, 2):g} %" if abs(scaled) < 10 else f"{scaled:.0f} %"


def percent_with_interval(e: Estimate) -> str:
    """``45 % [41, 49]``."""
    if e.value is None:
        return BLANK
    if e.low is None or e.high is None:
        return percent(e.value)
    return f"{percent(e.value)} [{', '.join(percent(x).removesuffix(' %') for x in (e.low, e.high))}]"


def amount_with_interval(e: Estimate) -> str:
    """``30,000 [12,000, 70,000]``; without the limits where they are the same, as of a plan over seeds."""
    if e.value is None:
        return BLANK
    limits = "" if e.low is None or e.high is None or e.low == e.high else f" [{amount(e.low)}, {amount(e.high)}]"
    return amount(e.value) + limits


def dollars(value: float) -> str:
    """``$0.0043``, ``$1.20``."""
    return f"${value:,.2f}" if abs(value) >= 0.1 or value == 0 else f"${value:.2g}"


def scaled(e: Estimate, factor: float, digits: int = 3) -> Estimate:
    """An estimate times a factor, to so many significant digits and no more than four decimals."""

    def one(x: float | None) -> float | None:
        return None if x is None else round(_significant(factor * x, digits), 4)

    return Estimate(one(e.value), one(e.low), one(e.high), e.reason)


def in_percent(e: Estimate) -> Estimate:
    """A share in percent: ``69.2``, ``4.3``, ``0.23``."""

    def one(x: float | None) -> float | None:
        return None if x is None else round(_significant(100 * x, 3 if abs(x) >= 0.1 else 2), 4)

    return Estimate(one(e.value), one(e.low), one(e.high), e.reason)


def per(e: Estimate, accounts: float, digits: int = 12) -> Estimate:
    """A share as a number of so many accounts."""
    return scaled(e, accounts, digits)


def _significant(value: float, digits: int) -> float:
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))
