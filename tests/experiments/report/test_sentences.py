"""Sentences claim what intervals support, and nothing else."""

from __future__ import annotations

import pytest

from experiments.measure.estimate import Estimate
from experiments.measure.verdict import HolmVerdict, verdicts
from experiments.report import write_report
from experiments.report.matched_table import Comparison
from experiments.report.sentences import matched
from tests.experiments.report.cells import grid, one

pytestmark = pytest.mark.usefixtures("without_plots")


def judged(value: float | None, error: float = 0.05) -> HolmVerdict:
    """A difference with a t distribution of 8 degrees of freedom."""
    return verdicts(
        [Estimate(value, error=error, freedom=8.0, seeds=3).at(0.95) if value is not None else Estimate(None)]
    )[0]


def comparison(
    gaps: dict[str, HolmVerdict], drop: float = 0.05, family: str = "chain", own: float = 0.47
) -> Comparison:
    others = {
        name: Estimate(None if gap.estimate.value is None else own - gap.estimate.value) for name, gap in gaps.items()
    }
    accuracy = {"antidistillation": Estimate(own, own - 0.05, own + 0.05), **others}
    pairs = {("antidistillation", name): gap for name, gap in gaps.items()}
    return Comparison("imitate", family, drop, False, accuracy, pairs, {}, "antidistillation", True)


def test_the_report_says_what_the_grid_was_made_to_show(report):
    first, second, third, last = report.words
    assert first.startswith("Hiding the trace (imitate) takes reasoning transfer from .9")
    assert "tool use" in first
    assert second.startswith(
        "At a 5-point drop of honest accuracy in reasoning (imitate), antidistillation leaves the student at ."
    )
    assert "below" in second
    assert "permuted (difference −.4" in second
    assert third.startswith("query_quota lets 30% of the attacker's queries through")
    assert last.startswith("With 2 seeds a row's interval rests on how much seeds differ in the other rows")


def test_a_difference_whose_interval_holds_0_is_no_difference():
    text = matched([comparison({"permuted": judged(-0.1, 0.1), "temperature": judged(-0.4, 0.04)})])
    assert "below .87 for temperature (difference −.40 [−.49, −.31])" in text
    assert "not told apart from .57 for permuted" in text


def test_a_control_that_does_better_is_said():
    text = matched([comparison({"permuted": judged(0.2, 0.04)})])
    assert "; " not in text
    assert "above .27 for permuted (difference .20 [.11, .29])" in text


def test_without_an_interval_nothing_is_claimed():
    bare = HolmVerdict(Estimate(-0.4), None, "undecided")
    text = matched([comparison({"permuted": bare})])
    assert "not told apart from .87 for permuted (difference −.40 without an interval)" in text


def test_one_seed_claims_nothing():
    of_items = verdicts([Estimate(-0.4, -0.45, -0.35, error=0.02, seeds=1)])[0]
    assert "not told apart" in matched([comparison({"permuted": of_items})])


def test_the_fuller_and_larger_comparison_is_told():
    gap, none = judged(-0.4, 0.04), judged(None)
    both = comparison({"permuted": gap, "temperature": gap}, drop=0.02)
    text = matched(
        [
            both,
            comparison({"permuted": gap, "temperature": none}),
            comparison({"permuted": gap, "temperature": gap}, family="pooled"),
        ]
    )
    assert text.startswith("At a 2-point drop of honest accuracy in reasoning,")
    assert matched([]) == ""
    assert matched([comparison({"permuted": none})]) == ""


def test_seeds(tmp_path):
    three = write_report(grid(seeds=(1, 2, 3), attacks=("imitate",)), tmp_path, "three")
    assert not any("seed" in sentence for sentence in three.words)
    single = write_report([one("none", None, 0.9, 0.99, 1)], tmp_path, "single")
    assert single.words[-1].startswith("With 1 seed the intervals cover held-out items only")
