"""What can be pointed at on a campaign's page, by number: policies, and the thresholds of their detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from configs.text import one_line
from experiments.campaign.measure.detection import ANY
from experiments.campaign.measure.key import Key, Measured
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.naming import detector_name, in_percent, per, policy_name, rate_name
from experiments.campaign.report.threshold_table import IN_FORCE, curve_points
from experiments.measure.estimate import Estimate
from experiments.report.page.spelled import words
from experiments.report.spelling import Kind

SAID = {
    "false_alarms": "honest accounts alarmed",
    "hard": "hard negatives alarmed",
    "caught": "attackers' accounts caught",
    "passing": "harvest that passes",
}
"""Of a threshold, as measured -> as said."""


class PolicyCells:
    """Numbers of what is pointed at, and what is said of each.

    Args:
        summaries: the policies of the report, in its order; the first numbers are theirs.

    Attributes:
        told: by number, JSON-able: ``label``, ``policy``, ``detector`` ("" for a policy as a whole), and ``says``.
        curves: by place of the policy and detector, the points of its curve by false-alarm rate.
    """

    def __init__(self, summaries: Sequence[PolicySummary]) -> None:
        self.summaries = summaries
        self.told: list[dict[str, Any]] = [_policy(s) for s in summaries]
        self.curves: dict[tuple[int, str], Mapping[float, Measured]] = {}
        self._number: dict[tuple[int, str, float | None], int] = {}
        for i, s in enumerate(summaries):
            for name in (name for name in s.names("detector") if name != ANY):
                force = {key: s.of(measure, "detector", name) for key, measure in IN_FORCE.items()}
                self._add(i, name, None, "threshold in force", [(key, force[key]) for key in SAID])
                self.curves[i, name] = curve_points(s, name)
                for rate, point in self.curves[i, name].items():
                    if point[Key("caught")].value is not None:
                        says = [(key, point[Key(key)]) for key in SAID]
                        self._add(i, name, rate, f"at most {rate_name(rate)} of honest accounts", says)

    def number(self, place: int, detector: str, rate: float | None = None) -> int:
        """Of a threshold of a policy's detector; without a rate that in force."""
        return self._number[place, detector, rate]

    def rows(self, table: Sequence[Mapping[str, Any]]) -> list[int]:
        """Number of the policy of each row of a table that names it."""
        place = {policy_name(s.policy): i for i, s in reversed(list(enumerate(self.summaries)))}
        return [place[str(row["policy"])] for row in table]

    def _add(self, place: int, detector: str, rate: float | None, what: str, says: list[tuple[str, Estimate]]) -> None:
        self._number[place, detector, rate] = len(self.told)
        policy = one_line(policy_name(self.summaries[place].policy))
        name = one_line(detector_name(detector))
        self.told.append(
            {
                "label": f"{name} under {policy}, {what}",
                "policy": policy,
                "detector": name,
                "says": [[SAID[key], _percent(e)] for key, e in says],
            }
        )


def _policy(s: PolicySummary) -> dict[str, Any]:
    name = one_line(policy_name(s.policy))
    said: list[tuple[str, Estimate, Kind]] = [
        ("usable exchanges", s.of("usable"), "count"),
        ("$ per usable", s.of("dollars_per_usable"), "dollars"),
        ("honest lost or banned, of 100,000", per(s.of("honest_gone_share"), 1e5, 3), "count"),
    ]
    says = [["of the plan", _percent(s.of("usable_share"))], *([what, words(e, kind)] for what, e, kind in said)]
    return {"label": name, "policy": name, "detector": "", "says": [*says, ["seeds", str(len(s.seeds))]]}


def _percent(e: Estimate) -> str:
    text = words(in_percent(e), "number")
    return text if e.value is None else f"{text} %"
