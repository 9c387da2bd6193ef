"""What a column of a table can show of a configuration: name, heading, kind of number, and which way is good."""

from __future__ import annotations

from typing import Literal, NamedTuple

from experiments.measure.estimate import Estimate
from experiments.measure.panel import ALL
from experiments.measure.quantity import MISSING, Quantity, blank
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.spelling import Kind

Better = Literal["", "lower", "higher"]
"""Which way is good for the provider; "" where nobody ranks by it."""


class TableMeasure(NamedTuple):
    """A measure as tables show it.

    Args:
        measure: its name among a summary's measures, or that of an outcome of the attack.
        title: heading.
        kind: how it is spelled.
        better: which way is good for the provider.
        of: whose it is: of students (headline decoding, strict grading, by family), of honest users' answers (strict, by
            family), of their requests (all of them), of the whole cell, or an outcome on the attacker's side.
    """

    measure: str
    title: str
    kind: Kind = "share"
    better: Better = ""
    of: Literal["student", "honest", "users", "cell", "attacker"] = "student"

    def quantity(self, summary: Summary, family: str = POOLED) -> Quantity:
        """The measure seed by seed; without seeds where only its mean is known."""
        if self.of == "student":
            return summary.headline(self.measure, family)
        if self.of == "honest":
            return summary.quantity(self.measure, ALL if family == POOLED else family, "", "strict")
        if self.of == "attacker":
            return blank(MISSING)
        return summary.quantity(self.measure, ALL if self.of == "users" else "")

    def estimate(self, summary: Summary, family: str = POOLED) -> Estimate:
        """What to print of it."""
        if self.of == "student":
            return summary.headline_estimate(self.measure, family)
        if self.of == "honest":
            return summary.estimate(self.measure, ALL if family == POOLED else family, "", "strict")
        if self.of == "attacker":
            return Estimate(summary.facts.get(self.measure))
        return summary.estimate(self.measure, ALL if self.of == "users" else "")

    @property
    def by_attack(self) -> bool:
        """Whether it is another under another attack."""
        return self.of in ("student", "attacker")


CATALOGUE = {
    "transfer": TableMeasure("transfer", "transfer", better="lower"),
    "relative": TableMeasure("relative", "relative", better="lower"),
    "relative_own": TableMeasure("relative_own", "relative to own", better="lower"),
    "student": TableMeasure("S_def", "student accuracy", better="lower"),
    "honest_accuracy": TableMeasure("T_def", "honest accuracy", better="higher", of="honest"),
    "honest_drop": TableMeasure("honest_drop", "honest accuracy lost", better="lower", of="honest"),
    "refused": TableMeasure("refusals", "refused", better="lower", of="users"),
    "wait": TableMeasure("wait_seconds", "wait", "seconds", "lower", of="users"),
    "trace_seen": TableMeasure("trace_kept", "trace seen", better="higher", of="users"),
    "price": TableMeasure("dollars_per_honest_query", "price of a query", "dollars", "lower", of="users"),
    "extra_passes": TableMeasure("extra_passes", "extra passes", better="lower", of="cell"),
    "sold_l1": TableMeasure("sold_l1", "L1 sold", of="cell"),
    "sold_top1": TableMeasure("sold_top1", "first token kept", of="cell"),
    "accepted": TableMeasure("accepted", "accepted", "count", of="attacker"),
    "distinct_prompts": TableMeasure("distinct_prompts", "distinct prompts", "count", of="attacker"),
    "attack_cost": TableMeasure("dollars", "attack cost", "dollars", of="attacker"),
}
"""By the name that a table's file calls it."""
